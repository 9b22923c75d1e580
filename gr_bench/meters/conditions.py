"""Conditions of a worker process that make step times repeatable."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..errors import RequestError
from .hardware import ROOT, core_of

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3


Allocator = Literal["held", "system", "jemalloc", "tcmalloc"]
"""``held``: glibc's, told to keep freed memory; ``system``: as the process starts; the others are
loaded in its place, where they are installed."""

_LIBRARIES = {
    "jemalloc": (("jemalloc",), "mallctl"),
    "tcmalloc": (("tcmalloc_minimal", "tcmalloc"), "tc_malloc"),
}
"""By allocator: the names its library may have, and a symbol that only it has."""


@dataclass(frozen=True)
class Conditions:
    """The conditions in force in a process that measured."""

    allocator: str
    """The one that was asked for if that was verified, else ``system``."""

    denormals_flushed: bool
    """True if denormal numbers counted as zero."""

    processors: tuple[int, ...] | None = None
    """Numbers of the hardware threads that it was kept on; None if it was not."""

    gpu: str | None = None
    """The GPU that it had for itself, as ``CUDA_VISIBLE_DEVICES`` names it; None if it had none."""

    node: str | None = None
    """The node of a cluster that it ran on, whose environment is in ``run.json`` under ``nodes``;
    None if it was the machine of the run."""


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


def hold_still(allocator: str) -> Conditions:
    """The conditions in force once all that drifts is settled as far as the system lets.

    It is to be called before anything large is allocated.

    - glibc gives large blocks back to the system and faults them in again at every step. With
      ``held`` it is told to keep them (``mallopt``), which takes most of the noise between
      processes away.
    - Denormal numbers are flushed to zero: arithmetic on them is many times slower.
    """
    held = hold_allocator(allocator)
    return Conditions(allocator=held, denormals_flushed=flush_denormals())


def hold_allocator(allocator: str) -> str:
    """The allocator in force once glibc's has been told to keep memory, if it is ``held``.

    It needs no PyTorch. See :func:`hold_still`.
    """
    return allocator if _in_force(allocator) else "system"


def flush_denormals() -> bool:
    """True if denormal numbers count as zero from now on, in what PyTorch computes."""
    import torch

    return bool(torch.set_flush_denormal(True))


def allowed_processors() -> set[int] | None:
    """The processors that this process may use; None where the system does not tell (macOS)."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None


def timed_processors(
    threads: int,
    allowed: Collection[int] | None,
    root: Path = ROOT,
    *,
    near: Collection[int] | None = None,
) -> tuple[int, ...] | None:
    """The processors that a process with so many threads is timed on, each a core of its own.

    The last cores are taken, since the first ones serve most interrupts; those near the GPU come
    before all others. With as many threads as cores, or more, it is all that are allowed.

    Args:
        threads: that the work will use.
        allowed: :func:`allowed_processors` of a process that was not narrowed down.
        root: the folder that the system's files are below.
        near: processors of the NUMA node of the GPU that the work is done on; None: there is no
            GPU, or it is not known.

    Returns:
        Their numbers in rising order; None where the system does not tell.
    """
    if allowed is None:
        return None
    cores = {core_of(cpu, root): cpu for cpu in sorted(allowed, reverse=True)}
    by_choice = sorted(cores.values(), key=lambda cpu: cpu not in (near or ()))
    chosen = by_choice[:threads] if threads < len(cores) else allowed
    return tuple(sorted(chosen))


def pin(
    threads: int, allowed: Collection[int] | None, near: Collection[int] | None = None
) -> tuple[int, ...] | None:
    """The processors in force once this process is kept on its :func:`timed_processors`.

    Threads that are running already are moved too.

    Args:
        threads: that the work to come will use.
        allowed: :func:`allowed_processors` before the first call, which narrows what that says.
        near: see :func:`timed_processors`.

    Returns:
        Their numbers in rising order; None where the system cannot do it.
    """
    chosen = timed_processors(threads, allowed, near=near)
    if chosen is None:
        return None
    _move(chosen)
    return tuple(sorted(os.sched_getaffinity(0)))


def other_processors(
    processors: Collection[int], allowed: Collection[int], root: Path = ROOT
) -> set[int]:
    """The allowed processors that disturb the given ones least.

    Those of other cores; where there are none, the other hardware threads of the same cores.

    Args:
        processors: to keep off.
        allowed: to choose from.
        root: the folder that the system's files are below.

    Returns:
        Their numbers; empty where nothing is left.
    """
    cores = {core_of(cpu, root) for cpu in processors}
    rest = {*allowed} - {*processors}
    return {cpu for cpu in rest if core_of(cpu, root) not in cores} or rest


@contextmanager
def keep_off(processors: Collection[int] | None) -> Iterator[None]:
    """A context in which all threads of this process keep to its :func:`other_processors`.

    So a coordinator stays out of the way of the process that is being timed. Afterwards every
    thread may run where it might before. Nothing happens where no other processor is allowed, or
    where the system cannot do it.

    A process that is started meanwhile inherits the narrow choice: ask for
    :func:`allowed_processors` before, and hand that to the process, which may :func:`pin` itself
    to any of them.

    Args:
        processors: to keep off, as :func:`timed_processors` names them.
    """
    allowed = allowed_processors()
    rest = other_processors(processors, allowed) if processors and allowed else None
    if not allowed or not rest:
        yield
        return
    before = {}
    for thread in _threads():
        with suppress(OSError):  # it has ended meanwhile
            before[thread] = os.sched_getaffinity(thread)
    _move(rest)
    try:
        yield
    finally:
        _move(allowed, before)


def _move(
    processors: Collection[int], exceptions: Mapping[int, Collection[int]] | None = None
) -> None:
    """Say where the threads of this process may run, those started meanwhile among them.

    Args:
        processors: for every thread.
        exceptions: for some threads, by their ids, others.
    """
    moved: set[int] = set()
    while new := _threads() - moved:
        for thread in new:
            with suppress(OSError):  # it has ended meanwhile
                os.sched_setaffinity(thread, (exceptions or {}).get(thread, processors))
        moved |= new


def _threads() -> set[int]:
    """Ids of the threads of this process; 0 is the one that asks, where no more is known."""
    try:
        return {int(name) for name in os.listdir("/proc/self/task")}
    except OSError:
        return {0}


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
    """The number of blocks that are mappings while one of ``nbytes`` is alive; -1 unknown."""
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
