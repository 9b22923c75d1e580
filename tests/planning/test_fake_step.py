"""Steps on fake tensors: their counts are those of real steps."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from synthetic import cost

from gr_bench.errors import RequestError, Unsupported
from gr_bench.experiments.step_cost.measure import counters
from gr_bench.planning.fake_step import StepCell, alike, footprint, forward_flops
from gr_bench.registry import METHODS

MIB = 1 << 20
IMAGES = "random(shape=(3, 8, 8), samples=8)"
SMALL = {
    "mlp(depth=3, width=32)": IMAGES,
    "resnet-8(width=16)": IMAGES,
    "vit(depth=2, width=64)": IMAGES,
    "char-transformer(depth=1, width=16, heads=2)": "random-tokens(length=8, samples=8)",
}

RANDOM_STATE = torch.get_rng_state().nbytes
"""The only memory of a step that no operator makes."""


def step_cell(spec: str = "sgd", model: str = "mlp(depth=3, width=32)", **fields) -> StepCell:
    return StepCell.of(cost(spec, model=model, dataset=IMAGES, batch_size=8, **fields))


@pytest.mark.parametrize(
    ("method", "giga", "mib"),
    [("sgd", 4027, 2296), ("f-gr", 8053, 2574), ("db-gr", 12147, 5591)],
)
def test_the_papers_wide_residual_network_needs_no_gpu(method: str, giga: int, mib: int) -> None:
    """WRN-28-10 at batch 128: known FLOPs, and the peak over parameters and momentum as tracked
    before, without the mini-batch.
    """
    cell = StepCell.of(cost(method, model="wrn-28-10", dataset="random", batch_size=128))
    found = footprint(replace(cell, device="cuda"))
    assert found.flops / 1e9 == pytest.approx(giga, abs=1)
    assert found.convolution_flops / found.flops > 0.999
    assert found.memory.parameter_bytes / MIB == pytest.approx(139, abs=0.5)
    memory = found.memory
    over = memory.peak_bytes - memory.parameter_bytes - memory.optimizer_state_bytes
    assert over / MIB == pytest.approx(mib, rel=0.002)


@pytest.mark.parametrize("method", ["sgd", "sam", "f-gr", "c-gr", "flooding", "db-gr"])
@pytest.mark.parametrize("model", SMALL)
def test_counts_are_those_of_the_step_itself(model: str, method: str) -> None:
    """FLOPs and parts of the memory exactly; the peak but for the random state."""
    cell = cost(method, model=model, dataset=SMALL[model], batch_size=8)
    found, real = footprint(StepCell.of(cell)), counters(cell)
    assert found.flops == real.flops
    assert found.parameters == real.parameters
    for part in ("parameter_bytes", "gradient_bytes", "optimizer_state_bytes", "method_bytes"):
        assert getattr(found.memory, part) == getattr(real, part)
    assert found.memory.peak_bytes == pytest.approx(real.peak_bytes, rel=0.05, abs=RANDOM_STATE)


def test_every_built_in_method_can_be_stepped() -> None:
    for name in METHODS.built_in:
        assert footprint(step_cell(name)).flops > 0, name


@pytest.mark.usefixtures("pretended_cuda")
def test_a_step_on_a_gpu_is_that_of_the_pretended_one() -> None:
    """Rise over a steady step, in blocks; about as many calls of operators that launch something,
    since two-point methods make θ' tensor by tensor on a CPU.
    """
    from pretended_cuda import Trace
    from torch._subclasses.fake_tensor import FakeTensorMode

    from gr_bench import registry
    from gr_bench.timing.step import build_step

    mode = FakeTensorMode()
    for name in ("sgd", "sam", "f-gr", "db-gr"):
        cell = step_cell(name, "resnet-8(width=16)", device="cuda")
        with mode:
            step = build_step(cell, registry)
            step()
            step.training.optimizer.zero_grad()
            with Trace() as trace:
                step()
        found = footprint(cell)
        rise = found.memory.peak_bytes - found.lasting_bytes + found.memory.gradient_bytes
        assert rise == pytest.approx(trace.peak_bytes, rel=0.01), name
        assert found.calls == pytest.approx(trace.launches, rel=0.25), name


def test_on_a_gpu_the_optimizer_takes_all_parameters_at_once() -> None:
    """Weight decay makes a copy of the gradients, of all together there and one by one here."""
    here, there = (footprint(step_cell(device=device)) for device in ("cpu", "cuda"))
    assert there.calls < here.calls
    assert there.memory.peak_bytes > here.memory.peak_bytes
    one_by_one = footprint(replace(step_cell(device="cuda"), variant="fused"))
    assert one_by_one.memory.peak_bytes < there.memory.peak_bytes


@pytest.mark.parametrize(
    ("dtype", "ratio"), [("float64", 2.0), ("bfloat16", 0.5), ("float16-mixed", 1.0)]
)
def test_parameters_have_the_cells_dtype(dtype: str, ratio: float) -> None:
    plain, other = footprint(step_cell()), footprint(step_cell(dtype=dtype))
    assert other.memory.parameter_bytes == ratio * plain.memory.parameter_bytes
    assert other.flops == plain.flops


def test_a_forward_pass_is_a_third_of_a_gradient_but_for_the_first_layer() -> None:
    cell = step_cell(model="mlp(depth=2, width=8)")
    first, later = 2 * 8 * 192 * 8, 2 * 8 * 8 * 10
    assert forward_flops(cell) == first + later
    assert footprint(cell).flops == 2 * first + 3 * later


def test_equal_steps_are_stepped_once() -> None:
    """A method's numbers decide nothing, nor does F-GR's direction; with a penalty of 0 it is
    another step.
    """
    first = footprint(step_cell("f-gr(gamma=0.1, epsilon=0.05)"))
    assert footprint(step_cell("f-gr(gamma=0.3, epsilon=0.7)")) is first
    assert footprint(step_cell("b-gr(gamma=0.2, epsilon=0.1)")) is first
    assert footprint(step_cell("f-gr(gamma=0)")).flops == first.flops / 2
    assert alike("sam") != alike("asam")
    assert alike("gnp(r=0.1, alpha=1)") != alike("gnp(r=0.1, alpha=0.5)")


def test_a_plug_ins_numbers_all_count() -> None:
    """Nobody knows what they do."""
    assert alike("plugged:Plain(gamma=0.1)") != alike("plugged:Plain(gamma=0.2)")


def test_a_cycle_is_counted_as_a_whole() -> None:
    """One step in three takes a second gradient: the mean of arithmetic, the peak of the worst."""
    sgd, sam = footprint(step_cell("sgd")), footprint(step_cell("sam"))
    found = footprint(step_cell("plugged_plans:EveryThird"))
    assert found.flops == pytest.approx((2 * sgd.flops + sam.flops) / 3)
    assert found.memory.peak_bytes == pytest.approx(sam.memory.peak_bytes, rel=0.01)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"compiled": True}, "differentiates twice"),
        ({"variant": "tf32"}, "cpu"),
        ({"variant": "cuda-graph"}, "cpu"),
    ],
)
def test_what_cannot_work_is_refused_as_a_run_would(fields, reason: str) -> None:
    with pytest.raises(Unsupported, match=reason):
        footprint(step_cell("db-gr", **fields))


def test_a_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(ValueError, match="more than the 8 training examples"):
        footprint(replace(step_cell(), batch_size=9))


def test_a_model_that_cannot_be_built_is_refused() -> None:
    with pytest.raises(RequestError, match="depth"):
        footprint(step_cell(model="mlp(depth=0)"))


def test_parameters_that_modules_share_stay_shared() -> None:
    found = footprint(step_cell(model="plugged_plans:Tied", dtype="float64"))
    assert found.parameters == 192 * 10 + 10


def test_nothing_is_left_of_the_fake_mode() -> None:
    footprint(step_cell())
    assert type(torch.ones(2)) is torch.Tensor
