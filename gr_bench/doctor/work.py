"""Work whose amount is known, and a clock that is not the device's own."""

from __future__ import annotations

import time

import torch

from gr_bench.meters.device import Device, Work

SIDE = 256
"""Rows and columns of the matrices that are multiplied."""

MOST_PRODUCTS = 4096
"""In one piece of work, which then needs 1 GiB: no device takes less than a millisecond for it."""


def independent_s() -> float:
    """Seconds by a clock that no device reads: on Linux the raw, unadjusted one."""
    if hasattr(time, "CLOCK_MONOTONIC_RAW"):
        return time.clock_gettime(time.CLOCK_MONOTONIC_RAW)
    return time.monotonic()


def synchronize(device: Device) -> None:
    """Wait until the device has done all that it was asked for."""
    if device.torch_device.type == "cuda":
        torch.cuda.synchronize(device.torch_device)


def products(device: Device, count: int) -> Work:
    """So many products of float32 matrices in one kernel: twice as many are twice the work.

    All are of the same two matrices, since twice the data would miss a cache more often.
    """
    shape = (count, SIDE, SIDE)
    a, b = (torch.randn(SIDE, SIDE, device=device.torch_device).expand(shape) for _ in range(2))
    out = torch.empty(shape, device=device.torch_device)
    return lambda: torch.bmm(a, b, out=out)


def products_taking(device: Device, seconds: float) -> int:
    """The number of products, a power of two, that take so long by the independent clock."""
    count = 1
    while count < MOST_PRODUCTS:
        work = products(device, count)
        work()
        if min(_duration_s(device, work) for _ in range(3)) >= seconds:
            break
        count *= 2
    return count


def queued(device: Device, seconds: float) -> Work:
    """Products that keep a GPU at work for so long, about, and are queued at once."""
    if device.torch_device.type == "cpu":
        return lambda: None
    piece_s = 1e-3
    work = products(device, products_taking(device, piece_s))
    times = round(seconds / piece_s)

    def repeated() -> None:
        for _ in range(times):
            work()

    return repeated


def lasting(device: Device, work: Work, seconds: float) -> Work:
    """``work`` as often as it takes to last so long, and until the device has done it."""
    times = 1

    def repeated() -> None:
        for _ in range(times):
            work()
        synchronize(device)

    repeated()
    while _duration_s(device, repeated) < seconds:
        times *= 2
    return repeated


def _duration_s(device: Device, work: Work) -> float:
    synchronize(device)
    begin = independent_s()
    work()
    synchronize(device)
    return independent_s() - begin
