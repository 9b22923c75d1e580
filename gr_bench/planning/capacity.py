"""Memory of devices, and what fits into it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from gr_bench.errors import RequestError

MIB = 1 << 20

GPUS = {
    "8 GB (RTX 3070, 4060)": 8_192 * MIB,
    "12 GB (RTX 3060, 4070)": 12_288 * MIB,
    "16 GB (T4)": 15_360 * MIB,
    "16 GB (V100, RTX 4080)": 16_160 * MIB,
    "24 GB (A10, L4)": 22_528 * MIB,
    "24 GB (RTX 3090, 4090)": 24_126 * MIB,
    "32 GB (V100, RTX 5090)": 32_100 * MIB,
    "40 GB (A100)": 40_320 * MIB,
    "48 GB (A40, L40S)": 45_500 * MIB,
    "80 GB (A100, H100)": 80_900 * MIB,
    "141 GB (H200)": 142_500 * MIB,
}
"""About what programs find on common GPUs, smallest first: makers' figures less what the driver and
error correction keep."""

RESERVE_BYTES = 1 << 30
"""For the context of CUDA and the libraries' own memory, which nobody can tell beforehand."""

RESERVE_SHARE = 0.2
"""Of what a cell needs, for workspaces of convolutions and what the allocator cannot give out."""

Fits = Literal["yes", "tight", "no"]


def fits(needed_bytes: int, memory_bytes: int) -> Fits:
    """A verdict on work that needs so many bytes, on a device that has so many.

    ``no`` is certain: what is alive at once is more than there is. ``yes`` leaves room for what is
    not known: :data:`RESERVE_SHARE` and :data:`RESERVE_BYTES`. ``tight`` lies between.
    """
    if needed_bytes > memory_bytes:
        return "no"
    with_reserve = needed_bytes * (1 + RESERVE_SHARE) + RESERVE_BYTES
    return "yes" if with_reserve <= memory_bytes else "tight"


def verdicts(needed_bytes: int, devices: Iterable[tuple[str, int]]) -> dict[str, Fits]:
    """The verdict on every device, by its name."""
    return {name: fits(needed_bytes, memory) for name, memory in devices}


def parse_bytes(text: str) -> int:
    """Bytes in ``24GB``, ``24 GiB`` or ``800MB``: powers of 1000, and with an i of 1024.

    Raises:
        RequestError: the text is no such size.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([MGT])(i?)B\s*", text)
    size = float(match[1]) if match else 0.0
    if match is None or not size:
        raise RequestError(f"cannot read the memory {text!r}: write it as 24GB, 24GiB or 800MB")
    power = "MGT".index(match[2]) + 2
    return int(size * (1024 if match[3] else 1000) ** power)
