"""The FLOP rate of a matrix product, held to what such a device can do."""

from __future__ import annotations

import sys

import psutil
import torch

from gr_bench.doctor.check import Check
from gr_bench.meters.device import Device
from gr_bench.meters.hardware import clock

LEAST_SHARE = 0.01
"""Of the bound: a product that is slower is not done by the device's fast units."""

CPU_FLOPS_A_CYCLE = 64
"""Of a core, in float32: two 512-bit multiply-adds, more than which no vector unit does."""

BOOST = 2.0
"""No processor's clock rises further above the one that it states."""

CUDA_FLOPS_A_CYCLE = 256
"""Of a multiprocessor, in float32: 128 multiply-adds, in every generation at most."""

TENSOR_FLOPS_A_CYCLE = 4096
"""Of a multiprocessor where products may run in TF32: on tensor cores."""


def most_flops_per_s(device: Device) -> float | None:
    """A bound that no float32 matrix product exceeds; None where the clock is not known."""
    if device.torch_device.type == "cuda":
        properties = torch.cuda.get_device_properties(device.torch_device)
        khz = getattr(properties, "clock_rate", None)
        tf32 = torch.backends.cuda.matmul.allow_tf32
        a_cycle = TENSOR_FLOPS_A_CYCLE if tf32 else CUDA_FLOPS_A_CYCLE
        return khz * 1e3 * a_cycle * properties.multi_processor_count if khz else None
    hz = _most_hz()
    return None if hz is None else hz * CPU_FLOPS_A_CYCLE * torch.get_num_threads()


def _most_hz() -> float | None:
    """The highest clock of the processor; None where nobody tells, or a matrix unit helps."""
    if sys.platform == "darwin":
        return None
    try:
        stated = psutil.cpu_freq()
    except (OSError, NotImplementedError):
        stated = None
    if stated is not None and stated.max > 0:
        return float(stated.max) * 1e6
    mhz = clock().mhz
    return None if mhz is None else mhz * 1e6 * BOOST


def rate_check(device: Device, flops_per_s: float) -> Check:
    """The verdict on a rate: neither more than the bound nor less than a small part of it."""
    most = most_flops_per_s(device)
    measured = {"flops_per_s": flops_per_s, "most_flops_per_s": most}
    words = f"{flops_per_s / 1e9:.3g} GFLOP/s in a matrix product"
    if most is None:
        return Check(
            "flop rate",
            "unknown",
            f"{words}; the clock is not known",
            measured,
            "compare the rate with the manufacturer's figure for float32",
        )
    words = f"{words}, of at most {most / 1e9:.3g}"
    if flops_per_s > most:
        advice = "do not trust times from this device: it cannot be that fast, so time is missing"
        return Check("flop rate", "fail", words, measured, advice)
    if flops_per_s < LEAST_SHARE * most:
        advice = "the device is far below its capability: check its clocks, and PyTorch's build"
        return Check("flop rate", "unknown", words, measured, advice)
    return Check("flop rate", "pass", words, measured)
