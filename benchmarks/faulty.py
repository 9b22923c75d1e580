"""The method that does, in a step of its own choosing, what a process must not do."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, ones

from gr_bench.methods import SGD, LossFunction

NONE = "none"
FLOOD_BYTES = 16 << 20
HOARD_FLOATS = 1 << 29
"""2 GiB, more than the limit of a run in which it is done."""


@dataclass(frozen=True)
class Faulty(SGD):
    """SGD with a fault in step ``at`` of its process, counted from 1, and in those that follow.

    Args:
        fault: one of :data:`FAULTS`, or ``none``.
        at: the step.
        number: of the cell, which makes it another one.
        folder: gets files named by the processes that are left behind.
    """

    fault: str = NONE
    at: int = 1
    number: int = 0
    folder: str = "."
    name: ClassVar[str] = "faulty"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "_count", [0])

    def state_dict(self) -> dict[str, Any]:
        """Nothing: steps are counted anew in every process, whatever checkpoints say."""
        return {}

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        """SGD's, or the fault."""
        self._count[0] += 1  # type: ignore[attr-defined]
        if self.fault != NONE and self._count[0] >= self.at:  # type: ignore[attr-defined]
            FAULTS[self.fault](self)
        return super().backward(loss_fn, params)


def _raise(method: Faulty) -> None:
    raise RuntimeError("a fault that was injected")


def _system_exit(method: Faulty) -> None:
    sys.exit("a fault that was injected")


def _segfault(method: Faulty) -> None:
    ctypes.string_at(0)


def _exit(method: Faulty) -> None:
    os._exit(7)


def _kill(method: Faulty) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _hang(method: Faulty) -> None:
    time.sleep(3600)


def _stop(method: Faulty) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _hoard(method: Faulty) -> None:
    hoard = ones(HOARD_FLOATS)
    time.sleep(60)
    hoard.add_(1)


def _flood(method: Faulty) -> None:
    """It is printed once a process; the steps go on."""
    if method._count[0] == method.at:  # type: ignore[attr-defined]
        line = b"a line of a flood " * 56 + b"\n"
        for descriptor in (1, 2):
            for _ in range(FLOOD_BYTES // len(line)):
                os.write(descriptor, line)


def _leave_children(method: Faulty) -> None:
    """Start two, one in a session of its own, fork one, which holds everything that was open here,
    and end.
    """
    started = subprocess.Popen(["sleep", "3600"])
    gone_away = subprocess.Popen(["sleep", "3600"], start_new_session=True)
    forked = os.fork()
    if not forked:
        time.sleep(3600)
        os._exit(0)
    for child in (started.pid, gone_away.pid, forked):
        with suppress(OSError):
            Path(method.folder, f"left-{child}").touch()
    os._exit(7)


FAULTS: dict[str, Callable[[Faulty], None]] = {
    "raises": _raise,
    "SystemExit": _system_exit,
    "segfault": _segfault,
    "os._exit": _exit,
    "SIGKILL": _kill,
    "hangs": _hang,
    "SIGSTOP": _stop,
    "takes 2 GiB": _hoard,
    "floods its output": _flood,
    "leaves children": _leave_children,
}
"""By what they are called in tables."""

HARMLESS = ("floods its output",)
"""After these the cell has its result all the same."""
