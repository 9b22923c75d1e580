"""Steps in which the host never waits for the device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from gr_bench.checks.subject import WITH_BATCH_NORM, WITH_DROPOUT
from gr_bench.doctor.check import Check, Tell
from gr_bench.doctor.contract import BATCH, DATA, judge_methods
from gr_bench.doctor.steps import step_on
from gr_bench.meters.device import Device
from gr_bench.meters.host_reads import HostReads


def check_synchronisation(device: Device, seconds: float, tell: Tell) -> Iterator[Check]:
    """Steps of every method with whatever reads a value back told, and CUDA's detector raising."""
    yield judge_methods(device, "synchronisation", "none in a step", _reads, tell)


def _reads(device: Device, spec: str) -> str | None:
    for model in (WITH_BATCH_NORM, WITH_DROPOUT):
        step = step_on(device, spec, model, DATA, BATCH)
        step()  # the first one sets up what later ones find
        with _detector(device), HostReads() as reads:
            step()
        if reads.found:
            return f"reads a value back by {reads.found[0]}"
    return None


@contextmanager
def _detector(device: Device) -> Iterator[None]:
    """CUDA's own, which raises RuntimeError at a call that waits."""
    if device.torch_device.type != "cuda":
        yield
        return
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)
