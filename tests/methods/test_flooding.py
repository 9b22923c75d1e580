"""Flooding as the gradient of abs(L - b) + b, and its two steps as finite-difference GR."""

import pytest
import torch

from gr_bench.methods import SGD, BackwardGR, Flooding, ForwardGR

RATE = 0.1


def vector(problem):
    return torch.cat([p.detach().flatten() for p in problem.params])


def loss_now(problem):
    torch.manual_seed(1)
    return problem.loss().item()


def move(problem, method):
    """θ <- θ - η·d."""
    problem.step(method)
    torch.optim.SGD(problem.params, lr=RATE).step()


@pytest.mark.parametrize("offset", [-0.3, 0.3])
def test_direction_is_the_gradient_of_the_flooded_loss(problem, offset):
    """d = ∇(abs(L - b) + b), below and above the level; the loss returned is L."""
    level = loss_now(problem) + offset
    torch.manual_seed(1)
    flooded = (problem.loss() - level).abs() + level
    expected = torch.cat([g.flatten() for g in torch.autograd.grad(flooded, problem.params)])
    assert torch.equal(problem.direction(Flooding(level)), expected)
    assert problem.step(Flooding(level)).item() == level - offset


def test_at_the_level_nothing_moves(problem):
    """sign(0) = 0."""
    d = problem.direction(Flooding(loss_now(problem)))
    assert torch.count_nonzero(d) == 0


@pytest.mark.parametrize(
    ("elsewhere", "partner"),
    [(0, BackwardGR), (100, ForwardGR)],
    ids=["descent-first", "ascent-first"],
)
def test_two_steps_across_the_level_are_a_step_of_gr(problem, elsewhere, partner):
    """Descent then ascent at rate η moves θ by -η²·ΔR_B(ε = η), ascent then descent by -η²·ΔR_F.

    From θ - ηg the second step adds η·∇L(θ - ηg): in all -η·(g - ∇L(θ - ηg)) = -η²·ΔR_B. The level
    is put between the losses at the two points, so that flooding takes both steps by itself.
    """
    start, theta, here = problem.state(), vector(problem), loss_now(problem)
    penalty = problem.direction(partner(gamma=1, epsilon=RATE)) - problem.direction(SGD())
    move(problem, Flooding(elsewhere))  # a level out of reach: the first step, whatever follows
    level = (here + loss_now(problem)) / 2
    problem.model.load_state_dict(start)

    move(problem, Flooding(level))
    move(problem, Flooding(level))
    assert torch.allclose(vector(problem) - theta, -(RATE**2) * penalty, rtol=1e-9, atol=1e-15)
