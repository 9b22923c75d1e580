"""Every pass of a step draws the same random numbers."""

import pytest
import torch
from torch import nn

from gr_bench.methods import SGD, ForwardGR


class Recording(nn.Module):
    """Dropout that remembers its masks."""

    def __init__(self) -> None:
        super().__init__()
        self.masks = []

    def forward(self, x):
        kept = nn.functional.dropout(torch.ones_like(x), 0.5, self.training)
        self.masks.append(kept)
        return x * kept


@pytest.fixture
def recorded(make_problem):
    torch.manual_seed(0)
    recording = Recording()
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.Tanh(), recording, nn.Linear(8, 3))
    return make_problem(model), recording.masks


def test_all_passes_share_a_mask_and_steps_do_not(recorded, method, first_passes):
    """One mask a step, a fresh one in the next."""
    problem, masks = recorded
    method.backward(problem.loss, problem.params)
    passes = len(masks)
    method.backward(problem.loss, problem.params)
    assert passes == first_passes(method)
    assert len(masks) == 2 * passes or method.cycle > 1
    for step in (masks[:passes], masks[passes:]):
        assert all(torch.equal(mask, step[0]) for mask in step)
    assert not torch.equal(masks[0], masks[passes])


def test_a_small_step_adds_no_noise(recorded, relative_error):
    """A fresh mask in the second pass would add an error of size γ/ε, here 100."""
    problem, _ = recorded
    d = problem.direction(ForwardGR(gamma=1e-4, epsilon=1e-6))
    assert relative_error(d, problem.direction(SGD())) < 1e-3
