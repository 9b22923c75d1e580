"""Conditions of a worker process that make step times repeatable."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import psutil

from gr_bench.errors import RequestError

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3


Allocator = Literal["held", "system", "jemalloc", "tcmalloc"]
"""``held``: glibc's, told to keep freed memory; ``system``: as the process starts; the others are
loaded in its place, where they are installed."""

_LIBRARIES = {
    "jemalloc": (("jemalloc",), "mallctl"),
    "tcmalloc": (("tcmalloc_minimal", "tcmalloc"), "tc_malloc"),
}
"""By allocator: the names its library may have, and a symbol that only it has."""


def preload(allocator: str) -> dict[str, str]:
    """Environment variables that a process must be started with to use the allocator.

    Raises:
        RequestError: its library is not installed.
    """
    if allocator not in _LIBRARIES:
        return {}
    names, _ = _LIBRARIES[allocator]
    found = next((path for name in names if (path := ctypes.util.find_library(name))), None)
    if found is None:
        raise RequestError(
            f"allocator {allocator!r} is not installed here: install it, or use held or system"
        )
    return {"LD_PRELOAD": found}


def hold_still(allocator: str) -> dict[str, Any]:
    """Settle what would otherwise drift; call it before anything large is allocated.

    - glibc gives large blocks back to the system and faults them in again at every step. With
      ``held`` it is told to keep them (``mallopt``), which takes most of the noise between
      processes away.
    - Denormal numbers are flushed to zero: arithmetic on them is many times slower.

    Returns:
        What is in force, for the record: ``allocator`` is what was asked for if that was verified,
        else ``system``.
    """
    import torch

    return {
        "allocator": allocator if _in_force(allocator) else "system",
        "denormals_flushed": torch.set_flush_denormal(True),
    }


def allowed_processors() -> set[int] | None:
    """The processors that this process may use; None where the system does not tell (macOS)."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None


def pin(threads: int, allowed: set[int] | None) -> list[int] | None:
    """Keep this process on as many processors as it has threads, each a core of its own.

    The last cores are taken, since the first ones serve most interrupts. With as many threads as
    cores, or more, the process may use all that it was allowed. Threads that are running already
    are moved too.

    Args:
        threads: that the work to come will use.
        allowed: :func:`allowed_processors` before the first call, which narrows what that says.

    Returns:
        The processors that are in force; None where the system cannot do it.
    """
    if allowed is None:
        return None
    cores = {_siblings(cpu): cpu for cpu in sorted(allowed, reverse=True)}
    chosen = sorted(list(cores.values())[:threads] if threads < len(cores) else allowed)
    for thread in psutil.Process().threads():
        with suppress(OSError):  # it has ended meanwhile
            os.sched_setaffinity(thread.id, chosen)
    return chosen


def _siblings(cpu: int) -> str:
    """What the hardware threads of one core have in common."""
    try:
        topology = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology")
        return (topology / "thread_siblings_list").read_text().strip()
    except OSError:
        return str(cpu)


def _in_force(allocator: str) -> bool:
    if allocator == "held":
        return _hold_allocator()
    if allocator in _LIBRARIES:
        return hasattr(ctypes.CDLL(None), _LIBRARIES[allocator][1])
    return allocator == "system"


def _hold_allocator() -> bool:
    """Make glibc keep freed memory; True if a large block then is no mapping of its own."""
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None)
    try:
        mallopt = libc.mallopt
    except AttributeError:  # another C library
        return False
    settings = (
        (_M_MMAP_THRESHOLD, 1 << 30),
        (_M_TRIM_THRESHOLD, (1 << 31) - 1),
        (_M_TOP_PAD, 256 << 20),
    )
    if not all(mallopt(key, value) for key, value in settings):
        return False
    return _mapped_blocks(libc, 0) == _mapped_blocks(libc, 64 << 20)


class _MallInfo2(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        )
    ]


def _mapped_blocks(libc: Any, nbytes: int) -> int:
    """How many blocks are their own mappings while one of ``nbytes`` is alive; -1 unknown."""
    try:
        mallinfo2 = libc.mallinfo2
    except AttributeError:  # glibc before 2.33
        return -1
    mallinfo2.restype = _MallInfo2
    libc.malloc.restype = ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    block = libc.malloc(ctypes.c_size_t(nbytes))
    blocks = int(mallinfo2().hblks)
    libc.free(block)
    return blocks
