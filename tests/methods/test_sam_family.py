"""GSAM, Friendly SAM, LookSAM and the methods of a single pass: closed forms and identities.

Every formula is written out a second time, step by step, on one long vector θ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from gr_bench.methods import (
    GSAM,
    SAM,
    SGD,
    FriendlySAM,
    LookSAM,
    Method,
    MomentumSAM,
    SingleStepSAM,
)

RATE = 0.1
STEPS = 7
many = settings(max_examples=30, derandomize=True, deadline=None)
radii = st.floats(0.0, 1.0)
shares = st.floats(0.0, 1.0)


@dataclass
class Stream:
    """A loss ½·θᵀAθ + <b, θ> + Σ cos θ whose A and b change from step to step, as mini-batches do.

    θ lies in two parameters, so that a norm has to be the norm of all of θ.
    """

    seed: int = 0
    batches: list[tuple[Tensor, Tensor]] = field(init=False)
    start: Tensor = field(init=False)

    def __post_init__(self) -> None:
        generator = torch.Generator().manual_seed(self.seed)

        def draw(*shape: int) -> Tensor:
            return torch.randn(*shape, dtype=torch.float64, generator=generator)

        halves = [draw(5, 5) for _ in range(STEPS)]
        self.batches = [((m + m.T) / 8, draw(5)) for m in halves]
        self.start = draw(5)

    def loss(self, theta: Tensor, step: int) -> Tensor:
        matrix, slope = self.batches[step]
        return theta @ matrix @ theta / 2 + slope @ theta + theta.cos().sum()

    def gradient(self, theta: Tensor, step: int) -> Tensor:
        matrix, slope = self.batches[step]
        return matrix @ theta + slope - theta.sin()

    def train(self, method: Method, momentum: float = 0.0) -> Iterator[tuple[Tensor, Tensor]]:
        """θ and d of every step, with this project's method and PyTorch's optimizer."""
        parts = [nn.Parameter(part.clone()) for part in self.start.tensor_split(2)]
        optimizer = torch.optim.SGD(parts, lr=RATE, momentum=momentum)
        for step in range(STEPS):
            theta = torch.cat([p.detach() for p in parts])
            method.backward(lambda step=step: self.loss(torch.cat(parts), step), parts)
            yield theta, torch.cat([p.grad for p in parts])
            optimizer.step()

    def check(self, method: Method, direction: Callable[[Tensor, int], Tensor]) -> None:
        """Compare every d with a function of θ and the step, called in turn."""
        for step, (theta, d) in enumerate(self.train(method)):
            expected = direction(theta, step)
            assert torch.allclose(d, expected, rtol=1e-9, atol=1e-9), step


def same_training(one: Method, other: Method, exactly: bool = True) -> None:
    stream = Stream()
    for (_, d), (_, e) in zip(stream.train(one), stream.train(other), strict=True):
        assert torch.equal(d, e) if exactly else torch.allclose(d, e, rtol=1e-12)


def unit(vector: Tensor) -> Tensor:
    norm = vector.norm()
    return vector / norm if norm > 0 else torch.zeros_like(vector)


# --- GSAM


@many
@given(st.integers(0, 99), radii, st.floats(0, 2))
def test_gsam_takes_off_the_orthogonal_component(seed: int, rho: float, alpha: float) -> None:
    """d = g' - α·(g - (<g, g'>/‖g'‖²)·g')."""
    stream = Stream(seed)

    def direction(theta: Tensor, step: int) -> Tensor:
        g = stream.gradient(theta, step)
        second = stream.gradient(theta + rho * unit(g), step)
        return second - alpha * (g - (g @ second) / (second @ second) * second)

    stream.check(GSAM(rho, alpha), direction)


def test_gsam_does_not_change_the_perturbed_loss_to_first_order(problem) -> None:
    """<d - g', g'> = 0, over all parameters together, and d - g' leads against the gradient."""
    g, second = problem.direction(SGD()), problem.direction(SAM(rho=0.3))
    added = problem.direction(GSAM(rho=0.3, alpha=0.7)) - second
    assert abs(added @ second) < 1e-12 * second.norm() ** 2
    assert added @ g < 0


def test_gsam_without_ascent_is_sam(problem) -> None:
    assert torch.equal(problem.direction(GSAM(rho=0.3, alpha=0)), problem.direction(SAM(rho=0.3)))


def test_gsam_where_the_perturbed_gradient_is_zero() -> None:
    """All of g is orthogonal to a vector of length 0: d = -α·g."""
    p = nn.Parameter(torch.tensor([1.0, 0.0], dtype=torch.float64))
    GSAM(rho=1, alpha=0.5).backward(lambda: -((p - 2.0 * torch.tensor([1, 0])) ** 2).sum() / 2, [p])
    assert torch.equal(p.grad, torch.tensor([-0.5, 0.0], dtype=torch.float64))


# --- Friendly SAM


@many
@given(st.integers(0, 99), radii, st.floats(0, 2), shares)
def test_friendly_sam_ascends_along_what_the_average_leaves(
    seed: int, rho: float, sigma: float, decay: float
) -> None:
    """m <- λ·m + (1 - λ)·g, then d = ∇L(θ + ρ·n/‖n‖) with n = g - σ·m."""
    stream, average = Stream(seed), torch.zeros(5, dtype=torch.float64)

    def direction(theta: Tensor, step: int) -> Tensor:
        nonlocal average
        g = stream.gradient(theta, step)
        average = decay * average + (1 - decay) * g
        noise = g - sigma * average
        if noise.norm() < 1e-9:  # of rounding alone: it points anywhere
            raise Vanishing
        return stream.gradient(theta + rho * unit(noise), step)

    try:
        stream.check(FriendlySAM(rho, sigma, decay), direction)
    except Vanishing:
        return


class Vanishing(Exception):
    """A direction that only rounding decides."""


@pytest.mark.parametrize("decay", [0.0, 0.6, 1.0])
def test_friendly_sam_that_takes_nothing_off_is_sam(decay: float) -> None:
    same_training(FriendlySAM(rho=0.3, sigma=0, decay=decay), SAM(rho=0.3))


def test_friendly_sam_with_an_average_that_never_moves_is_sam() -> None:
    """λ = 1 leaves m = 0."""
    same_training(FriendlySAM(rho=0.3, sigma=1, decay=1), SAM(rho=0.3))


def test_friendly_sam_without_noise_does_not_perturb() -> None:
    """λ = 0 and σ = 1: m = g, so n = 0, and θ' = θ."""
    same_training(FriendlySAM(rho=0.3, sigma=1, decay=0), SGD())


def test_the_average_before_the_step_gives_the_same_direction_at_sigma_1() -> None:
    """n = λ·(g - m₋): what the authors' code does and what the paper says are one."""
    stream, rho, decay = Stream(), 0.4, 0.8
    average = torch.zeros(5, dtype=torch.float64)

    def direction(theta: Tensor, step: int) -> Tensor:
        nonlocal average
        g = stream.gradient(theta, step)
        noise = g - average
        average = decay * average + (1 - decay) * g
        return stream.gradient(theta + rho * unit(noise), step)

    stream.check(FriendlySAM(rho, 1.0, decay), direction)


# --- LookSAM


@many
@given(st.integers(0, 99), st.floats(0.01, 1), st.floats(0, 2), st.integers(1, 4))
def test_looksam_uses_the_orthogonal_component_again(
    seed: int, rho: float, alpha: float, k: int
) -> None:
    """Every k-th step d = g' and v = g' - (<g', g>/‖g‖²)·g; in between d = g + α·(‖g‖/‖v‖)·v."""
    stream, kept = Stream(seed), torch.zeros(5, dtype=torch.float64)

    def direction(theta: Tensor, step: int) -> Tensor:
        nonlocal kept
        g = stream.gradient(theta, step)
        if step % k:
            return g + alpha * g.norm() * unit(kept)
        second = stream.gradient(theta + rho * unit(g), step)
        kept = second - (second @ g) / (g @ g) * g
        return second

    stream.check(LookSAM(rho, alpha, k), direction)


def test_looksam_that_looks_every_time_is_sam() -> None:
    same_training(LookSAM(rho=0.3, alpha=0.7, k=1), SAM(rho=0.3))
    method = LookSAM(k=1)
    next(Stream().train(method))
    assert "orthogonal" not in method.state
    assert (method.cycle, method.gradient_evaluations, method.keeps_gradient) == (1, 2, False)


def test_looksam_without_weight_is_sgd_in_between(make_problem) -> None:
    problem, method = make_problem("mlp"), LookSAM(rho=0.3, alpha=0, k=2)
    sgd = problem.direction(SGD())
    assert torch.equal(problem.direction(method), problem.direction(SAM(rho=0.3)))
    method.backward(problem.loss, problem.params)
    assert torch.equal(torch.cat([p.grad.flatten() for p in problem.params]), sgd)


def test_looksam_takes_the_passes_of_its_cycle() -> None:
    """1 + 1/k of them a step."""
    counts, p = [], nn.Parameter(torch.ones(3))
    method = LookSAM(k=3)
    for _ in range(7):
        passes = []
        method.backward(lambda to=passes: to.append(None) or (p**4).sum(), [p])
        counts.append(len(passes))
    assert counts == [2, 1, 1, 2, 1, 1, 2]
    assert method.gradient_evaluations == pytest.approx(4 / 3)
    assert method.cycle == 3


def test_looksam_has_no_part_of_v_where_there_is_none() -> None:
    """A quadratic with H = 1: g' is parallel to g, v = 0, and not NaN times anything."""
    p = nn.Parameter(torch.tensor([3.0, 4.0]))
    method = LookSAM(rho=0.5, alpha=1, k=2)
    for _ in range(2):
        method.backward(lambda: (p**2).sum() / 2, [p])
        assert torch.isfinite(p.grad).all()
        p.grad = None


# --- a single pass


@many
@given(st.integers(0, 99), radii, st.floats(0, 0.99))
def test_momentum_sam_with_its_optimizer_is_the_papers_algorithm(
    seed: int, rho: float, momentum: float
) -> None:
    """w̃ = w - ρ·v/‖v‖, v <- μ·v + ∇L(w̃), w <- w - η·v: Algorithm 1 on parameters kept at w̃."""
    stream = Stream(seed)
    shifted, velocity = stream.start.clone(), torch.zeros(5, dtype=torch.float64)
    for step, (theta, d) in enumerate(stream.train(MomentumSAM(rho, momentum), momentum)):
        g = stream.gradient(shifted, step)
        assert torch.allclose(d, g, rtol=1e-9, atol=1e-9)
        plain = shifted + rho * unit(velocity)
        assert torch.allclose(theta, plain, rtol=1e-9, atol=1e-9)
        velocity = momentum * velocity + g
        shifted = plain - RATE * velocity - rho * unit(velocity)


def test_momentum_sam_at_the_distance_of_nesterov_is_nesterov() -> None:
    """With ρ = η·μ·‖v‖ the point θ' is θ - ημv, from which Nesterov's gradient is taken."""
    stream, momentum = Stream(), 0.9
    velocity = stream.gradient(stream.start, 0)
    theta = stream.start - RATE * velocity
    rho = RATE * momentum * velocity.norm().item()
    (_, first), (at, second), *_ = stream.train(MomentumSAM(rho, momentum), momentum)
    assert torch.allclose(first, velocity)
    assert torch.allclose(at, theta)
    assert torch.allclose(second, stream.gradient(theta - RATE * momentum * velocity, 1))


@many
@given(st.integers(0, 99), radii)
def test_single_step_sam_ascends_along_the_last_direction(seed: int, rho: float) -> None:
    """d = ∇L(θ + ρ·d₋/‖d₋‖)."""
    stream, last = Stream(seed), torch.zeros(5, dtype=torch.float64)

    def direction(theta: Tensor, step: int) -> Tensor:
        nonlocal last
        last = stream.gradient(theta + rho * unit(last), step)
        return last

    stream.check(SingleStepSAM(rho), direction)


def test_momentum_sam_that_forgets_is_single_step_sam_the_other_way() -> None:
    """μ = 0: θ - ρ·d₋/‖d₋‖ and θ + ρ·d₋/‖d₋‖ have θ in their middle."""
    p = nn.Parameter(torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64))
    seen: list[Tensor] = []
    for method in (MomentumSAM(rho=0.5, mu=0), SingleStepSAM(rho=0.5)):
        for _ in range(2):
            method.backward(lambda: seen.append(p.detach().clone()) or (p**4).sum(), [p])
    assert torch.equal(seen[0], seen[2])
    assert torch.allclose((seen[1] + seen[3]) / 2, p)
    assert torch.allclose((seen[1] - p).norm(), torch.tensor(0.5, dtype=torch.float64))
    assert (seen[3] - p) @ p.grad > 0


@pytest.mark.parametrize("method", [MomentumSAM(rho=0), SingleStepSAM(rho=0), MomentumSAM(mu=1)])
def test_a_single_pass_that_is_not_moved_is_sgds(method: Method) -> None:
    """ρ = 0, and an average that never moves."""
    same_training(method, SGD())


@pytest.mark.parametrize("cls", [MomentumSAM, SingleStepSAM])
def test_the_loss_of_a_single_pass_is_the_one_that_it_computes(cls: type[Method]) -> None:
    method, p, seen = cls(rho=0.5), nn.Parameter(torch.ones(2)), []
    for _ in range(3):
        loss = method.backward(lambda: seen.append((p**4).sum()) or seen[-1], [p])
        assert loss.item() == seen[-1].item()
    assert len(seen) == 3
    assert seen[1] != seen[0]
