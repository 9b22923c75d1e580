"""The counters and the cost model of steps on the pretended CUDA devices."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from torch._subclasses.fake_tensor import FakeTensorMode

from gr_bench import registry
from gr_bench.experiments.step_cost.cost_model import memory_bounds
from gr_bench.meters.counters import count_launches
from gr_bench.timing.step import build_step

pytestmark = pytest.mark.usefixtures("pretended_cuda")

DATASET = "random(shape=(3, 16, 16), samples=16)"
MODELS = {"mlp(depth=4, width=256)": 16, "resnet-8(width=8)": 16}


def cell(spec: str, model: str) -> SimpleNamespace:
    return SimpleNamespace(
        spec=spec,
        model=model,
        dataset=DATASET,
        batch_size=MODELS[model],
        device="cuda",
        dtype="float32",
        compiled=False,
        variant="plain",
    )


@pytest.mark.parametrize("model", MODELS)
def test_peaks_lie_within_the_models_bounds(model: str) -> None:
    """Over three steps from nothing, with what the optimizer takes for itself."""
    from pretended_cuda import Trace

    peaks, bounds = {}, {}
    with FakeTensorMode():
        for name in ("sgd", "sam", "f-gr", "c-gr", "db-gr"):
            with Trace() as trace:
                step = build_step(cell(name, model), registry)
                for _ in range(3):
                    step()
            peaks[name] = trace.peak_bytes
            bounds[name] = memory_bounds(step.training, step.batch)
    for name in ("sam", "f-gr", "c-gr"):
        extra = peaks[name] - peaks["sgd"]
        assert bounds[name].extra_low_bytes <= extra <= bounds[name].extra_high_bytes, name
    assert peaks["db-gr"] >= bounds["db-gr"].peak_low_bytes > 0


def test_launches_are_those_that_a_trace_sees() -> None:
    """The trace has a list of what launches nothing; the counter asks the operators."""
    from pretended_cuda import Trace

    with FakeTensorMode():
        for name in ("sgd", "f-gr", "db-gr"):
            step = build_step(cell(name, "resnet-8(width=8)"), registry)
            step()
            with Trace() as trace:
                step()
            assert count_launches(step) == trace.launches > 0, name
