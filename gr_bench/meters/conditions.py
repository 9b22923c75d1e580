"""Conditions of a worker process that make step times repeatable."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3


def hold_still() -> dict[str, Any]:
    """Settle what would otherwise drift; call it before anything large is allocated.

    - glibc gives large blocks back to the system and faults them in again at every step. It is told
      to keep them (``mallopt``), which takes most of the noise between processes away.
    - Denormal numbers are flushed to zero: arithmetic on them is many times slower.

    Returns:
        What was set, and whether it took effect; it belongs into the record.
    """
    import torch

    allocator = "held" if _hold_allocator() else "system"
    return {"allocator": allocator, "denormals_flushed": torch.set_flush_denormal(True)}


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
