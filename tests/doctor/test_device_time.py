"""The doctor's checks of the device's own time, on simulated streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from torch._subclasses.fake_tensor import FakeTensorMode

from gr_bench.doctor import device_time, work
from gr_bench.doctor.check import Check
from gr_bench.meters.get_device import get_device
from gr_bench.meters.held_stream import HeldStream

pytestmark = pytest.mark.usefixtures("pretended_cuda")


def checks() -> dict[str, Check]:
    """On kernels of 1 ms, which take the host 10 µs to launch."""
    from simulated_stream import Streams

    gpu = Streams()
    gpu.install()
    work.independent_s = lambda: gpu.host_s
    device_time.SIZES = {device_time.AT_ONCE: (3, 4), device_time.IN_PIECES: (300, 1)}
    device_time.READINGS = 2
    with FakeTensorMode(), gpu.launching(1e-3, 1e-5):
        found = device_time.check_device_time(get_device("cuda"), 0.0, lambda: None)
        return {check.name: check for check in found}


def test_a_stream_that_is_held_passes() -> None:
    found = checks()
    assert [*found] == ["device time", "device time in pieces"]
    assert {check.verdict for check in found.values()} == {"pass"}
    assert all(check.measured["ratio"] == pytest.approx(1) for check in found.values())


FAULTS: dict[str, Callable[[float | None], float | None]] = {
    "off by a tenth": lambda seconds: seconds and 0.9 * seconds,
    "never read": lambda seconds: None,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_stream_that_is_not_held_fails(fault: str) -> None:
    right: Any = HeldStream.step_s
    HeldStream.step_s = lambda *a: FAULTS[fault](right(*a))
    assert {check.verdict for check in checks().values()} == {"fail"}
