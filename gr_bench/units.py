"""Durations, sizes and shares as people write and read them."""

from __future__ import annotations

import re

from gr_bench.errors import RequestError


def parse_duration(text: str) -> float:
    """Seconds in ``90s``, ``2m``, ``1h`` or ``45``.

    Raises:
        RequestError: the text is not a positive duration.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh]?)\s*", text)
    seconds = float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]] if match else 0.0
    if not seconds:
        raise RequestError(f"cannot read the time {text!r}: write it as 90s, 2m or 1h")
    return seconds


def parse_size(text: str) -> int:
    """Bytes in ``500MiB`` or ``4GiB``.

    Raises:
        RequestError: the text is not a positive size.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([MG])iB\s*", text)
    size = int(float(match[1]) * (1 << {"M": 20, "G": 30}[match[2]])) if match else 0
    if not size:
        raise RequestError(f"cannot read the size {text!r}: write it as 500MiB or 4GiB")
    return size


def size(count: float) -> str:
    """Bytes as ``500 MiB`` or ``4.2 GiB``."""
    return f"{count / (1 << 30):.3g} GiB" if count >= 1 << 30 else f"{count / (1 << 20):.3g} MiB"


def duration(seconds: float) -> str:
    """Seconds as ``1h02m``, ``3m05s`` or ``42s``."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 60}m{whole % 60:02d}s" if whole >= 60 else f"{whole}s"


def roughly(seconds: float) -> str:
    """Seconds as one would say them: ``40 s``, ``4 minutes``, ``2 hours``."""
    if seconds < 90:
        return f"{max(1, round(seconds, -1 if seconds >= 10 else 0)):g} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} minutes"
    return f"{round(seconds / 3600)} hours"


def require_budget(budget_s: float, least_s: float, of: str) -> None:
    """Refuse a budget that is gone before anything can be said of what is measured.

    Raises:
        RequestError: it is less than ``least_s``.
    """
    if budget_s < least_s:
        raise RequestError(
            f"nothing can be said of {of} in {duration(budget_s)}: give at least "
            f"--budget {duration(least_s)}"
        )


def parse_share(text: str) -> float:
    """The part of 1 that ``2%`` or ``0.02`` stand for.

    Raises:
        RequestError: the text is neither, or not between 0 and 1.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(%?)\s*", text)
    share = float(match[1]) / (100 if match[2] else 1) if match else 1.0
    if share >= 1:
        raise RequestError(f"cannot read the threshold {text!r}: write it as 2% or 0.02")
    return share


def counted(number: int, noun: str) -> str:
    """A number of things: ``1 workload``, ``2 workloads``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
