"""The harness on a real GPU: what pretended devices cannot show. ``pytest -m gpu tests``."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import torch
from processes import Warm
from synthetic import cost, training
from torch.profiler import ProfilerActivity, profile

from gr_bench import load, registry
from gr_bench.doctor.device_time import Products
from gr_bench.doctor.work import products, products_taking
from gr_bench.experiments.generalization.record import Training
from gr_bench.experiments.generalization.training.train import train_all
from gr_bench.experiments.step_cost.measure import counters
from gr_bench.experiments.step_cost.record import Check
from gr_bench.meters.counters import count_launches
from gr_bench.meters.device import Device
from gr_bench.meters.get_device import get_device
from gr_bench.meters.held_stream import LAUNCHES
from gr_bench.methods import METHODS
from gr_bench.runs.executor import LocalExecutor
from gr_bench.runs.runner import Unwatched, run_suite
from gr_bench.runs.store import read_journal
from gr_bench.runs.suite import build_suite
from gr_bench.timing.step import TimedStep, build_step
from gr_bench.timing.variant import SWITCHES

pytestmark = pytest.mark.gpu

GPU = "cuda:0"
IMAGES = "random(shape=(3, 16, 16), num_classes=10, samples=64)"
MIB = 1 << 20


@pytest.fixture
def device() -> Device:
    found = get_device(GPU)
    found.select()
    return found


@pytest.fixture
def kernel(device: Device) -> Callable[[], object]:
    """One that is long against its launch."""
    return products(device, products_taking(device, 500e-6))


def step_of(method: str, model: str = "resnet-8(width=8)", **fields: Any) -> TimedStep:
    cell = cost(method, model=model, dataset=IMAGES, batch_size=16, device=GPU, **fields)
    return build_step(cell, registry)


# --- times


@pytest.mark.parametrize("launches", [5, 3 * LAUNCHES])
def test_long_kernels_take_the_device_as_long_as_trained(
    device: Device, kernel: Callable[[], object], launches: int
) -> None:
    """A step of few is queued with others, one of many in pieces."""
    step = Products(kernel, launches)
    readings = [device.sample(step, 3) for _ in range(6)][1:]
    assert all(reading.device_s is not None for reading in readings)
    ratio = median(reading.device_s / reading.elapsed_s for reading in readings)
    assert ratio == pytest.approx(1, rel=0.05)


@pytest.mark.parametrize("method", ["sgd", "f-gr", "db-gr"])
def test_a_step_of_any_number_of_launches_has_a_time_of_the_device(
    device: Device, method: str
) -> None:
    step = step_of(method, "resnet-18")
    device.time(lambda: [step() for _ in range(3)])
    readings = [device.sample(step, 10) for _ in range(3)]
    assert all(reading.device_s is not None for reading in readings)
    assert all(0 < reading.device_s < 1.2 * reading.elapsed_s for reading in readings)


def test_work_that_is_asked_about_is_done(device: Device, kernel: Callable[[], object]) -> None:
    before = device.energy_j()
    state = device.state(lambda: [kernel() for _ in range(200)])
    assert torch.cuda.current_stream().query()
    assert state.clock_mhz is None or state.clock_mhz > 0
    after = device.energy_j()
    assert (before is None and after is None) or after > before


# --- memory, launches


def test_a_known_allocation_is_counted_to_the_byte(device: Device) -> None:
    def work() -> None:
        first = torch.empty(64 * MIB, dtype=torch.uint8, device=GPU)
        second = torch.empty(32 * MIB, dtype=torch.uint8, device=GPU)
        del first, second

    device.release_memory()
    assert device.peak_growth(work) == 96 * MIB
    allocated, reserved = device.peaks()
    assert 96 * MIB <= allocated <= reserved


@pytest.mark.parametrize("method", ["sgd", "f-gr", "db-gr"])
def test_each_launch_is_a_kernel_or_more(method: str) -> None:
    step = step_of(method)
    for _ in range(3):
        step()
    launches = count_launches(step)
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        step()
        torch.cuda.synchronize()
    kernels = sum(
        event.device_type == torch.autograd.DeviceType.CUDA for event in profiler.events()
    )
    assert 0 < 0.9 * launches <= kernels


@pytest.mark.parametrize("method", METHODS)
def test_counters_are_those_of_the_cpu(method: str) -> None:
    cell = cost(method, model="resnet-8(width=8)", dataset=IMAGES, batch_size=16)
    found, expected = counters(replace(cell, device=GPU)), counters(cell)
    assert found.finite
    assert found.launches > 0
    assert (found.flops, found.parameter_bytes) == (expected.flops, expected.parameter_bytes)
    assert found.peak_reserved_bytes >= found.peak_allocated_bytes >= found.peak_bytes


# --- variants


@pytest.mark.parametrize("variant", ["plain", "fused"])
@pytest.mark.parametrize("method", METHODS)
def test_an_overflow_leaves_nothing_but_a_lower_scale(method: str, variant: str) -> None:
    step = step_of(method, dtype="float16-mixed", variant=variant)
    scaler = step.training.scaler
    assert scaler is not None
    scaler._init_scale = 2.0**40
    before = [p.detach().clone() for p in step.training.model.parameters()]
    for _ in range(3):
        assert step.settle().isfinite()
    assert scaler.get_scale() < 2.0**40
    for p, value in zip(step.training.model.parameters(), before, strict=True):
        assert torch.equal(p, value)
        assert p.grad is None or p.grad.isfinite().all()


@pytest.mark.timeout(1800)  # it compiles
def test_every_variant_agrees_with_the_plain_step_and_is_timed(tmp_path: Path) -> None:
    variants = ["plain", *SWITCHES, "tf32+cudnn-benchmark+channels-last+fused"]
    grid = {
        "device": GPU,
        "methods": ["sgd", "sam", "f-gr", "db-gr"],
        "models": ["resnet-8(width=16)"],
        "datasets": [IMAGES],
        "batch_sizes": [16],
        "variants": variants,
        "operators": True,
        "replicates": 2,
        "most_replicates": 2,
        "seconds_per_block": 0.5,
    }
    suite = build_suite("test", {"title": "test", "step_cost": [grid]})
    run_suite(suite, tmp_path, LocalExecutor, Unwatched())
    checks = [record for record in read_journal(tmp_path) if isinstance(record, Check)]
    assert {check.cell.variant for check in checks} == {*variants} - {"plain"}
    assert [str(check) for check in checks if not check.agrees] == []
    table = load(tmp_path).step_cost
    compiled = table["variant"] == "reduce-overhead"
    kept = table["method"].isin(["f-gr", "db-gr"])
    assert set(table.loc[compiled & kept, "status"]) == {"unsupported"}
    fine = table[~(compiled & kept)]
    assert set(fine["status"]) == {"ok"}, fine[["variant", "method", "status"]].to_string()
    assert fine.loc[fine["variant"] == "plain", "device_time_ms"].notna().all()


# --- trainings, commands


@pytest.mark.parametrize("how", ["loop", "fleet"])
def test_a_training_goes_on_from_its_checkpoint_to_the_same_result(
    how: str, tmp_path: Path
) -> None:
    def cells() -> list[Any]:
        tiny = {"model": "resnet-8(width=4)", "dataset": "digits", "device": GPU, "epochs": 4}
        return [training("f-gr", **tiny, seed=seed) for seed in (0, 1)]

    def ended(results: Any) -> list[Training]:
        return [result for result in results if isinstance(result, Training)]

    whole = ended(train_all(cells(), how))
    going = train_all(cells(), how, tmp_path, 0.0)
    for _ in range(2):
        next(going)
    going.close()
    found = ended(train_all(cells(), how, tmp_path, 0.0))
    assert len(found) == len(whole) == 2
    for one, other in zip(found, whole, strict=True):
        assert len(one.curve) == len(other.curve) == 4
        assert one.test_loss == pytest.approx(other.test_loss, rel=0.05)


def test_the_doctor_finds_nothing_wrong(command: Warm, tmp_path: Path) -> None:
    ended = command("doctor", "--device", GPU, "--budget", "90s", "--json", cwd=tmp_path)
    checks = {check["name"]: check for check in json.loads(ended.out)["checks"]}
    assert {"device time", "device time in pieces", "other processes"} <= checks.keys()
    assert {name: c for name, c in checks.items() if c["verdict"] == "fail"} == {}
    assert ended.code == 0


def test_a_run_on_the_first_gpu(command: Warm, tmp_path: Path) -> None:
    ended = command("run", "smoke", "--device", GPU, "--out", str(tmp_path / "run"), cwd=tmp_path)
    assert ended.code == 0, ended.err
    results = load(tmp_path / "run")
    assert set(results.step_cost["status"]) == {"ok"}
    assert results.step_cost["device_time_ms"].notna().all()
    assert set(results.generalization["status"]) == {"ok"}
    assert results.failures.empty
