"""The burden whose cost is known, and the commits whose answer is known."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

import gr_bench.methods
from gr_bench.meters.flops import read_flops

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.known_cost import BURDENS, WIDTH, step  # noqa: E402
from benchmarks.revisions import COMMITS, METHODS, PLACE  # noqa: E402


@pytest.fixture(autouse=True)
def as_many_threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("rows", BURDENS.values())
def test_the_burden_is_one_matrix_product_and_no_other_step(rows: int) -> None:
    plain, burdened = step(0), step(rows)
    assert read_flops(burdened).counted - read_flops(plain).counted == 2 * rows * WIDTH**2
    assert torch.equal(plain(), burdened())
    pairs = zip(
        plain.training.model.parameters(), burdened.training.model.parameters(), strict=True
    )
    assert all(torch.equal(a.grad, b.grad) for a, b in pairs)


@pytest.mark.parametrize("name", COMMITS)
def test_a_commit_changes_the_cost_and_not_the_direction(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / METHODS).read_text()
    assert text.count(PLACE) == 1
    changed = ModuleType("gr_bench.methods.changed")
    changed.__package__ = "gr_bench.methods"
    monkeypatch.setitem(sys.modules, changed.__name__, changed)
    exec(text.replace(PLACE, PLACE + COMMITS[name]), changed.__dict__)
    directions = []
    for method in (gr_bench.methods.ForwardGR(), changed.ForwardGR()):
        theta = torch.linspace(-1, 1, 7, requires_grad=True)
        method.backward(lambda theta=theta: (theta**4).sum(), [theta])
        directions.append(theta.grad)
    assert torch.equal(*directions)
    assert ("perturbed" in vars(changed.ForwardGR)) == (name != "same")
