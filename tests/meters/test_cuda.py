"""The CUDA device against simulated streams and a library that may say nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from gr_bench.meters.device_state import DeviceState
from gr_bench.meters.get_device import get_device

pytestmark = pytest.mark.usefixtures("pretended_cuda")

PROPERTIES = SimpleNamespace(
    name="NVIDIA A100",
    total_memory=40 << 30,
    major=8,
    minor=0,
    multi_processor_count=108,
    uuid="1b",
)


def streams() -> Any:
    from simulated_stream import Streams

    found = Streams()
    found.install()
    torch.cuda.get_device_properties = lambda device: PROPERTIES
    return found


# --- times


@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_a_busy_gpu_reads_the_same_both_ways(name: str) -> None:
    """100 launches of 1 ms that take 0.01 ms to make: the host is far ahead."""
    gpu = streams()
    reading = get_device(name).sample(gpu.step(100, 1e-3, 1e-5), 5)
    assert reading.elapsed_s == pytest.approx(0.5)
    assert reading.device_s == pytest.approx(0.5)
    assert reading.waited_s == 0


def test_a_launch_bound_step_takes_the_hosts_time_as_trained_and_its_own_on_the_device() -> None:
    gpu = streams()
    reading = get_device("cuda").sample(gpu.step(50, 1e-6, 1e-5), 10)
    assert reading.elapsed_s == pytest.approx(10 * 50 * 1e-5, rel=0.01)
    assert reading.device_s == pytest.approx(10 * 50 * 1e-6)


def test_nothing_waits_inside_a_sample() -> None:
    """Once for the sample as trained, once for the one that is held, once for the spin's pace."""
    gpu = streams()
    get_device("cuda").sample(gpu.step(10, 1e-4, 1e-5), 20)
    assert gpu.waits == {"event": 3}


def test_fewer_steps_are_held_where_the_queue_has_no_room_for_all() -> None:
    """300 launches a step: three fit into the queue, ten do not."""
    gpu = streams()
    device, step = get_device("cuda"), gpu.step(300, 1e-6, 1e-5)
    for _ in range(2):
        reading = device.sample(step, 10)
        assert reading.device_s == pytest.approx(10 * 300 * 1e-6)
        waits = gpu.waits.pop("event")
    assert waits == 2  # the second time it is known how many


def test_a_step_that_is_not_seen_into_and_too_long_for_the_queue_has_no_such_time() -> None:
    gpu = streams()
    device, step = get_device("cuda"), gpu.step(2500, 1e-6, 1e-5)
    for _ in range(2):
        reading = device.sample(step, 10)
        assert reading.device_s is None
        assert reading.elapsed_s == pytest.approx(10 * 2500 * 1e-5, rel=0.01)
        waits = gpu.waits.pop("event")
    assert waits == 1


def test_what_is_known_of_a_step_is_not_believed_of_another_one_in_its_place() -> None:
    gpu = streams()
    device = get_device("cuda")
    for _ in range(20):
        step = gpu.step(2500, 1e-6, 1e-5)
        assert device.sample(step, 10).device_s is None
        del step  # and the next one has its address
        step = gpu.step(10, 1e-6, 1e-5)
        assert device.sample(step, 10).device_s == pytest.approx(10 * 10 * 1e-6)
        del step


def operators(count: int, *, reads_at: int | None = None) -> Callable[[], None]:
    """A step of so many operators on the GPU, one of which may be asked for its number."""
    tensor = torch.ones(1, device="cuda")

    def step() -> None:
        for number in range(count):
            tensor.neg()
            if number == reads_at:
                torch.ops.aten._local_scalar_dense(tensor)

    step.eager = True
    return step


@pytest.mark.parametrize("count", [10, 300, 1500])
def test_an_eager_step_of_any_length_has_a_time_of_the_device(count: int) -> None:
    gpu = streams()
    device = get_device("cuda")
    with FakeTensorMode(), gpu.launching(1e-6, 1e-5):
        step = operators(count)
        for _ in range(2):
            assert device.sample(step, 2).device_s == pytest.approx(2 * count * 1e-6)


def test_a_read_in_a_step_is_no_time_of_the_device() -> None:
    gpu = streams()
    with FakeTensorMode(), gpu.launching(1e-6, 1e-5):
        reading = get_device("cuda").sample(operators(100, reads_at=50), 10)
    assert reading.device_s == pytest.approx(10 * 100 * 1e-6)


@pytest.mark.parametrize("host_s", [1e-5, 1e-3])
def test_pieces_are_held_long_enough_and_small_enough_for_the_queue(host_s: float) -> None:
    """Each operator launches eight kernels; on a slow host they take long to be queued."""
    gpu = streams()
    with FakeTensorMode(), gpu.launching(1e-6, host_s):
        step = operators(600)
        plain = gpu.launch

        def eight(device_s: float, host_s: float) -> None:
            for _ in range(8):
                plain(device_s / 8, host_s / 8)

        gpu.launch = eight
        device = get_device("cuda")
        for _ in range(2):
            assert device.sample(step, 2).device_s == pytest.approx(2 * 600 * 1e-6)


def test_double_backpropagations_step_has_a_time_of_the_device() -> None:
    """Most of its launches are made by autograd, which has threads of its own."""
    from gr_bench import registry
    from gr_bench.doctor.steps import DoctorCell
    from gr_bench.meters.counters import count_launches
    from gr_bench.meters.held_stream import LAUNCHES
    from gr_bench.timing.step import build_step

    gpu = streams()
    cell = DoctorCell("db-gr", "resnet-8(width=4)", "random(samples=4)", 4, "cuda")
    with FakeTensorMode(), gpu.launching(1e-6, 1e-5):
        step = build_step(cell, registry)
        step()
        count = count_launches(step)
        assert count > LAUNCHES
        reading = get_device("cuda").sample(step, 1)
    assert reading.device_s == pytest.approx(count * 1e-6)
    assert reading.elapsed_s == pytest.approx(count * 1e-5, rel=0.01)


def test_a_spin_that_ends_too_soon_is_made_longer() -> None:
    """The host is slow at every second step, which the fastest of them does not show."""
    gpu = streams()
    calls = iter(range(1000))

    def step() -> None:
        gpu.launch(1e-4, 1e-3 if next(calls) % 2 else 20e-3)

    assert get_device("cuda").sample(step, 1).device_s == pytest.approx(1e-4)


def test_events_are_on_the_device_asked_for() -> None:
    gpu = streams()
    device = get_device("cuda:1")
    assert device.sample(gpu.step(100, 1e-3, 1e-5), 5).elapsed_s == pytest.approx(0.5)
    assert device.time(gpu.step(100, 1e-3, 1e-5)).elapsed_s == pytest.approx(0.1, rel=1e-3)
    assert {*gpu.events} == {1}
    assert torch.cuda.current_device() == 0
    device.select()
    assert torch.cuda.current_device() == 1


def test_a_sample_has_ten_steps_and_50_ms() -> None:
    from gr_bench.timing.clock import steps_in_a_sample

    device = get_device("cuda")
    assert steps_in_a_sample(device, 1e-3) == 50
    assert steps_in_a_sample(device, 0.2) == 10


# --- what NVML tells


class Refused(Exception):
    """What the library's errors derive from."""


def library(**answers: Callable[..., Any]) -> None:
    """NVML with these functions; every other one refuses, as on a MIG slice."""

    def refuse(*_: object) -> None:
        raise Refused

    fake = ModuleType("pynvml")
    fake.NVMLError = Refused
    fake.NVML_CLOCK_SM, fake.NVML_CLOCK_MEM, fake.NVML_TEMPERATURE_GPU = 1, 2, 0
    for name in (
        *("nvmlInit", "nvmlSystemGetDriverVersion", "nvmlDeviceGetHandleByUUID"),
        *("nvmlDeviceGetClockInfo", "nvmlDeviceGetTemperature", "nvmlDeviceGetPciInfo"),
        *("nvmlDeviceGetTotalEnergyConsumption", "nvmlDeviceGetEnforcedPowerLimit"),
    ):  # and none that tells why clocks are throttled: an old library
        setattr(fake, name, answers.get(name, refuse))
    sys.modules["pynvml"] = fake


HANDLE = {"nvmlInit": lambda: None, "nvmlDeviceGetHandleByUUID": lambda uuid: ("handle", uuid)}
SILENT = {
    "no library": None,
    "no driver": {},
    "no such GPU": {"nvmlInit": lambda: None},
    "a slice": HANDLE,
}


@pytest.mark.parametrize("case", SILENT)
def test_what_nvml_does_not_tell_is_not_known(case: str) -> None:
    streams()
    if SILENT[case] is None:
        sys.modules["pynvml"] = None
    else:
        library(**SILENT[case])
    device = get_device("cuda")
    state = device.state(lambda: None)
    assert state == DeviceState(load=state.load)
    assert device.energy_j() is None
    assert device.near_processors() is None
    described = device.describe()
    assert described["name"] == "NVIDIA A100"
    assert described["driver"] is described["power_limit_w"] is None


def test_what_nvml_tells_has_its_units() -> None:
    def clock(handle: object, which: int) -> int:
        assert handle == ("handle", "GPU-1b")
        return {1: 1410, 2: 1215}[which]

    energy = iter([2450, 2450, 2500])
    streams()
    library(
        **HANDLE,
        nvmlSystemGetDriverVersion=lambda: b"535.104.05",
        nvmlDeviceGetClockInfo=clock,
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: next(energy),
        nvmlDeviceGetEnforcedPowerLimit=lambda handle: 300_000,
    )
    device = get_device("cuda")
    state = json.loads(json.dumps(asdict(device.state(lambda: None))))
    assert (state["clock_mhz"], state["memory_clock_mhz"]) == (1410, 1215)
    assert state["temperature_c"] is state["throttle_reasons"] is None
    assert device.energy_j() == pytest.approx(2.5)
    described = json.loads(json.dumps(device.describe()))
    assert described["driver"] == "535.104.05"
    assert described["power_limit_w"] == pytest.approx(300)
    assert {"tf32_matmul", "tf32_cudnn", "cudnn", "cuda"} <= described.keys()


def test_clocks_are_asked_for_while_the_device_is_at_work() -> None:
    """One that idles has a low clock, and nothing holds it back."""
    gpu = streams()
    library(**HANDLE, nvmlDeviceGetClockInfo=lambda handle, which: 1410 if gpu.busy else 210)
    device = get_device("cuda:1")
    assert device.state(lambda: None).clock_mhz == 210
    assert device.state(gpu.step(100, 1e-3, 1e-5)).clock_mhz == 1410
    assert gpu.host_s == pytest.approx(0.2, rel=0.01)
    assert not gpu.busy


@pytest.mark.parametrize("name", ["EventReasons", "ThrottleReasons"])
def test_what_holds_the_clocks_back_goes_by_a_new_name_and_an_old_one(name: str) -> None:
    streams()
    library(**HANDLE)
    setattr(sys.modules["pynvml"], f"nvmlDeviceGetCurrentClocks{name}", lambda handle: 4)
    assert get_device("cuda").state(lambda: None).throttle_reasons == 4


def ticking(gpu: Any, every_s: float, watts: float = 200.0) -> Callable[[object], int]:
    """A counter that moves every so often, on a device that always takes as much power."""

    def told(handle: object) -> int:
        gpu.host_s += 1e-3  # to ask it
        return round(1e3 * watts * (gpu.host_s // every_s) * every_s)

    return told


def test_the_energy_counter_is_read_when_the_work_is_done_and_when_it_moves() -> None:
    gpu = streams()
    library(**HANDLE, nvmlDeviceGetTotalEnergyConsumption=ticking(gpu, 0.1))
    gpu.launch(3.02, 1e-5)
    assert get_device("cuda").energy_j() == pytest.approx(3.1 * 200)
    assert gpu.host_s == pytest.approx(3.1, abs=2e-3)


def test_joules_of_a_step_are_those_between_two_moves_of_the_counter() -> None:
    """200 W whatever it does: 0.01 s a step, and at most a tenth of a second of idling."""
    from gr_bench.timing.clock import joules

    gpu = streams()
    library(**HANDLE, nvmlDeviceGetTotalEnergyConsumption=ticking(gpu, 0.1))
    gpu.launch(0.05, 1e-5)
    found = joules(get_device("cuda"), gpu.step(1, 1e-2, 1e-5), 1e-2)
    assert 2.0 <= found <= 2.0 * (1 + 0.1 / 2.0) + 1e-9


def test_joules_are_of_two_seconds_of_the_device_and_not_of_the_host() -> None:
    """A graph of 0.1 s is replayed in 10 µs: two seconds of replaying would last for hours."""
    from gr_bench.timing.clock import joules

    gpu = streams()
    library(**HANDLE, nvmlDeviceGetTotalEnergyConsumption=ticking(gpu, 0.02))
    assert joules(get_device("cuda"), gpu.step(1, 0.1, 1e-5), 0.1) == pytest.approx(20, rel=0.02)
    assert gpu.host_s < 2.1


def test_a_counter_that_does_not_move_counts_nothing() -> None:
    streams()
    library(**HANDLE, nvmlDeviceGetTotalEnergyConsumption=lambda handle: 2500)
    assert get_device("cuda").energy_j() is None


# --- memory, products, launches, operators


def test_peaks_are_those_of_the_work_alone() -> None:
    """900 bytes at some time before, 300 at the start, 700 inside."""
    streams()
    now, most = 300, 900

    def reset(device: object) -> None:
        nonlocal most
        most = now

    def work() -> None:
        nonlocal now, most
        now += 400
        most = max(most, now)
        now -= 400

    torch.cuda.memory_allocated = lambda device: now
    torch.cuda.reset_peak_memory_stats = reset
    torch.cuda.max_memory_allocated = lambda device: most
    torch.cuda.max_memory_reserved = lambda device: 2 * most
    device = get_device("cuda:1")
    assert device.peak_growth(work) == 400
    assert device.peaks() == (700, 1400)


@pytest.mark.parametrize("convolutions", [True, False])
@pytest.mark.parametrize("tf32", [True, False])
def test_the_matrix_product_is_large_and_in_the_precision_of_the_model(
    convolutions: bool, tf32: bool
) -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.utils._python_dispatch import TorchDispatchMode

    from gr_bench.timing.block import matrix_product

    class Precision(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None):
            seen.append((torch.backends.cuda.matmul.allow_tf32, args[0].shape, args[0].dtype))
            return func(*args, **(kwargs or {}))

    seen: list[Any] = []
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cuda.matmul.allow_tf32 = not tf32
    with FakeTensorMode():
        work = matrix_product(get_device("cuda"), "float32", like_convolutions=convolutions)
        with Precision():
            work()
    assert seen == [(tf32 == convolutions, (4096, 4096), torch.float32)]
    assert torch.backends.cuda.matmul.allow_tf32 == (not tf32)


def test_operators_have_the_gpus_time_and_are_ordered_by_it() -> None:
    import torch.profiler

    from gr_bench.meters.operators import operators

    def event(key: str, cpu_us: float, device_us: float) -> SimpleNamespace:
        return SimpleNamespace(
            key=key, count=10, self_cpu_time_total=cpu_us, self_device_time_total=device_us
        )

    class Profile:
        def __init__(self, activities: Any) -> None:
            asked.extend(activity.name for activity in activities)

        def __enter__(self) -> Profile:
            return self

        def __exit__(self, *_: object) -> None:
            ended.append({**gpu.waits})

        def key_averages(self) -> list[SimpleNamespace]:
            names = [event("aten::add", 90, 10), event("aten::mm", 10, 500), event("gemm", 0, 500)]
            return names

    gpu, asked, ended = streams(), [], []
    torch.profiler.profile = Profile
    found = operators(lambda: None, steps=5, device=torch.device("cuda:1"))
    assert asked == ["CPU", "CUDA"]
    assert ended == [{"device": 1}]  # what is still on its way belongs to the step
    assert [(o.name, o.calls) for o in found] == [("aten::mm", 2), ("aten::add", 2)]
    assert found[0].device_s == pytest.approx(100e-6)
    assert found[0].self_s == pytest.approx(2e-6)
