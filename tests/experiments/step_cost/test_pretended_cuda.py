"""The counters and the cost model of steps on the pretended CUDA devices."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from synthetic import cost
from torch._subclasses.fake_tensor import FakeTensorMode

from gr_bench import registry
from gr_bench.experiments.block_times import Times, TimesOptions
from gr_bench.experiments.experiment import Unit
from gr_bench.experiments.step_cost.cost_model import memory_bounds
from gr_bench.experiments.step_cost.experiment import StepCost
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
        optimizer="sgd",
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


def library(gpu: Any, *, tells: bool) -> ModuleType:
    """NVML that tells of 100 W and of clocks that are high where there is work; or of nothing."""

    class Refused(Exception):
        pass

    def refuse(*_: object) -> None:
        raise Refused

    def energy(handle: object) -> int:
        gpu.host_s += 1e-3
        return round(1e5 * gpu.host_s)

    found = ModuleType("pynvml")
    found.NVMLError = Refused
    found.NVML_CLOCK_SM, found.NVML_CLOCK_MEM, found.NVML_TEMPERATURE_GPU = 1, 2, 0
    found.nvmlInit = lambda: None
    answers = {
        "nvmlDeviceGetHandleByUUID": lambda uuid: uuid,
        "nvmlDeviceGetTotalEnergyConsumption": energy,
        "nvmlDeviceGetClockInfo": lambda handle, which: 1410 if gpu.busy else 210,
        "nvmlDeviceGetTemperature": lambda handle, which: 60,
        "nvmlDeviceGetCurrentClocksEventReasons": lambda handle: 4 if gpu.busy else 1,
    }
    for name, answer in answers.items():
        setattr(found, name, answer if tells else refuse)
    return found


@pytest.mark.parametrize("tells", [False, True])
def test_a_block_is_timed_whatever_nvml_tells(tells: bool) -> None:
    """Kernels of 10 ms that take the host 10 µs to launch."""
    from simulated_stream import Streams

    gpu = Streams()
    gpu.install()
    properties = SimpleNamespace(uuid="1b", total_memory=40 << 30)
    torch.cuda.get_device_properties = lambda device: properties
    sys.modules["pynvml"] = library(gpu, tells=tells)
    tiny = {"model": "mlp(depth=2)", "dataset": DATASET, "batch_size": 8, "device": "cuda"}
    cells = [cost(method, **tiny) for method in ("sgd", "sam")]
    options = TimesOptions(
        replicate=0, budget_s=0.1, least_rounds=1, target=0.01, most_replicates=1, energy=True
    )
    with FakeTensorMode(), gpu.launching(1e-2, 1e-5):
        records = list(StepCost().measure(Unit(tuple(cells), options)))
    assert {record.cell for record in records} == {*cells}
    for record in records:
        assert isinstance(record, Times), record
        assert record.device_s == pytest.approx(record.elapsed_s, rel=0.02)
        for state in (record.state_before, record.state_after):
            assert (state.clock_mhz, state.throttle_reasons, state.temperature_c) == (
                (1410, 4, 60) if tells else (None, None, None)
            )
        if tells:
            assert record.energy_j == pytest.approx(100 * record.elapsed_s[0], rel=0.1)
        else:
            assert record.energy_j is None
