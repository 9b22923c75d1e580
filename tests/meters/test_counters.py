"""Arithmetic and memory of a step, where both can be worked out on paper."""

from __future__ import annotations

import pytest
import torch
from synthetic import cost
from torch._subclasses.fake_tensor import FakeTensorMode

from gr_bench import registry
from gr_bench.experiments.step_cost.measure import counters
from gr_bench.experiments.step_cost.record import Counters
from gr_bench.meters.counters import count_flops
from gr_bench.meters.memory import saved_bytes
from gr_bench.workloads.loss import cross_entropy

FEATURES, BATCH = 16, 4
PRODUCT = 2 * BATCH * FEATURES**2
"""FLOPs of one layer's forward product."""

WIDE = 256
P = 4 * WIDE**2
"""Bytes of the parameters of one wide layer."""

SCALARS = 64
"""Bytes that a few 0-d tensors may take."""


def counted(method: str, depth: int, features: int = FEATURES, batch: int = BATCH) -> Counters:
    """Counters of a chain of ``depth`` equal linear layers without biases."""
    cell = cost(
        method,
        model=f"plugged:Chain(depth={depth})",
        dataset=f"random(shape=({features},), num_classes={features}, samples=8)",
        batch_size=batch,
    )
    return counters(cell)


# --- arithmetic


@pytest.mark.parametrize("depth", [1, 2, 3, 8])
@pytest.mark.parametrize(
    ("method", "products"),
    [
        ("sgd", lambda n: 3 * n - 1),
        ("f-gr", lambda n: 6 * n - 2),
        ("sam", lambda n: 6 * n - 2),
        ("b-gr", lambda n: 6 * n - 2),
        ("db-gr", lambda n: 9 * n - 5),
    ],
)
def test_flops_of_equal_linear_layers(method: str, products, depth: int) -> None:
    """Forward 1 a layer, backward 2, but for the first layer, whose input needs no gradient."""
    assert counted(method, depth).flops == products(depth) * PRODUCT


def test_flops_grow_with_the_batch() -> None:
    assert counted("f-gr", 3, batch=8).flops == 2 * counted("f-gr", 3).flops


@pytest.mark.parametrize(("method", "giga"), [("sgd", 4027), ("f-gr", 8053), ("db-gr", 12147)])
def test_flops_of_the_papers_wide_residual_network(method: str, giga: int) -> None:
    """WRN-28-10 on 32x32 images, batch 128: counted without running it."""
    rule = registry.build_method(method)
    with FakeTensorMode():
        model = registry.build_model("wrn-28-10", (3, 32, 32), 10)
        inputs, targets = torch.randn(128, 3, 32, 32), torch.randint(10, (128,))
        flops = count_flops(
            lambda: rule.backward(lambda: cross_entropy(model(inputs), targets), model.parameters())
        )
    assert flops / 1e9 == pytest.approx(giga, abs=1)


# --- memory


def test_every_byte_of_an_sgd_step_is_accounted_for() -> None:
    """The peak is in the optimizer, which adds weight decay to the gradient in new memory."""
    found = counted("sgd", 1, WIDE)
    inputs, targets, decayed = 4 * BATCH * WIDE, 8 * BATCH, P
    assert found.parameter_bytes == P
    assert found.gradient_bytes == P
    assert found.optimizer_state_bytes == P
    assert found.method_bytes == 0
    assert 0 <= found.rest_bytes - (inputs + targets + decayed) <= SCALARS


@pytest.mark.parametrize("method", ["sgd", "sam", "f-gr", "b-gr", "db-gr", "plugged:Hoarding"])
@pytest.mark.parametrize("depth", [1, 4])
def test_the_parts_add_up_to_the_peak(method: str, depth: int) -> None:
    found = counted(method, depth)
    parts = ("parameter", "gradient", "optimizer_state", "method", "rest")
    assert found.peak_bytes == sum(getattr(found, f"{part}_bytes") for part in parts)
    batch = BATCH * (4 * FEATURES + 8)
    assert found.rest_bytes >= batch


@pytest.mark.parametrize("depth", [1, 4])
@pytest.mark.parametrize("method", ["sam", "plugged:Hoarding"])
def test_one_copy_of_the_parameters_shows_as_one_more(method: str, depth: int) -> None:
    sgd, own = counted("sgd", depth, WIDE, 1), counted(method, depth, WIDE, 1)
    copy = depth * P
    assert own.method_bytes == copy
    assert 0 <= own.peak_bytes - sgd.peak_bytes - copy <= SCALARS


def test_saved_bytes_are_what_the_backward_pass_needs() -> None:
    """A product keeps both its factors, an exponential its result; a sum keeps nothing."""
    x = torch.ones(100, requires_grad=True)
    y = torch.ones(100, requires_grad=True)
    assert saved_bytes(lambda: (x + y).sum()) == 0
    assert saved_bytes(lambda: (x * y).sum()) == 2 * 400
    assert saved_bytes(lambda: (x * x).sum()) == 400
    assert saved_bytes(lambda: x.exp().sum()) == 400
