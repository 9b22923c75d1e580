"""Conditions of a worker process that make step times repeatable."""

from __future__ import annotations

import ctypes
import ctypes.util
import sys
from typing import Any, Literal

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
