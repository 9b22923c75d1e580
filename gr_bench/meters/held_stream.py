"""The time that a GPU takes for a step when it never waits for the host.

The stream is held by a kernel that spins until the work behind it has been queued, between two
events. A driver's queue has room for about a thousand kernels; beyond that the host waits for the
device, and nothing more can be queued in advance. So a step of more launches is queued in pieces,
each behind a spin of its own; its time is the sum of theirs, each a microsecond or two too long.
"""

from __future__ import annotations

import time
import weakref
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from .counters import count_launches, launches
from .device import Work

HOLD = 1.5
"""The stream is held for the time that queueing should take, times this."""

LEAST_HOLD_S = 1e-3

LONGEST_HOLD = 8
"""A single step that cannot be seen into, and was not queued in time, is tried with twice the hold,
up to this many times."""

LAUNCHES = 250
"""Calls that launch something behind one spin; each may launch a few kernels."""

LEAST_LAUNCHES = 16

LAUNCH_S = 50e-6
"""About what such a call takes where each is seen, until that is known."""

CALIBRATION_CYCLES = 10_000_000
"""Some 5 to 10 ms of spinning."""


@dataclass
class _Plan:
    """The part of a step, or the steps, that one spin is long enough for."""

    steps: int
    """Whole steps; 0 if not even one can be queued in advance."""

    launches: int = LAUNCHES
    """Of a piece."""

    hold_s: float = LAUNCHES * LAUNCH_S
    """Before a piece."""


class HeldStream:
    """The current stream of the current GPU. What it learns of a step it keeps as long as that."""

    def __init__(self) -> None:
        self._plans: dict[int, _Plan] = {}
        """By the ids of steps that are alive."""

    def step_s(self, step: Work, steps: int, queue_s: float) -> float | None:
        """Seconds a step; None where it has too many launches and cannot be seen into.

        Args:
            step: what to time. If it has a true ``eager``, its launches are calls of operators, and
                it can be queued in pieces. A compiled step cannot: seen into, it is not compiled.
            steps: how many to queue at once, where there is room for them.
            queue_s: seconds that the host takes to queue one.
        """
        eager = getattr(step, "eager", False)
        plan = self._plans.get(id(step)) or self._new_plan(step, steps, eager)
        longer = 1
        while count := min(plan.steps, steps):
            hold_s = longer * (HOLD * count * queue_s + LEAST_HOLD_S)
            if (seconds := self._whole(step, count, hold_s)) is not None:
                return seconds / count
            if count == 1 and longer < LONGEST_HOLD and not eager:
                longer *= 2
            else:
                plan.steps = count // 2
        return self._in_pieces(step, plan) if eager else None

    def _new_plan(self, step: Work, steps: int, eager: bool) -> _Plan:
        plan = _Plan(LAUNCHES // max(1, count_launches(step)) if eager else steps)
        with suppress(TypeError):  # of what knows no weak references, nothing is kept
            weakref.finalize(step, self._plans.pop, id(step), None).atexit = False
            self._plans[id(step)] = plan
        return plan

    def _whole(self, step: Work, steps: int, hold_s: float) -> float | None:
        """Seconds of ``steps`` steps behind one spin; None if that was over before they were
        queued.
        """
        piece = _Piece(hold_s * self._cycles_per_s)
        for _ in range(steps):
            step()
        seconds = piece.end()
        return seconds if piece.in_time else None

    def _in_pieces(self, step: Work, plan: _Plan) -> float | None:
        """Seconds of one step, queued in pieces; None if some were queued too late."""
        while True:
            for _ in range(2):
                pieces = _Pieces(plan.launches, plan.hold_s * self._cycles_per_s)
                with pieces:
                    step()
                plan.hold_s = HOLD * pieces.longest_queue_s + LEAST_HOLD_S
                if pieces.in_time:
                    return pieces.seconds
            if plan.launches <= LEAST_LAUNCHES:
                return None
            plan.launches //= 2

    @cached_property
    def _cycles_per_s(self) -> float:
        start, end = events()
        torch.cuda._sleep(1)  # its first call loads it
        start.record()
        torch.cuda._sleep(CALIBRATION_CYCLES)
        end.record()
        end.synchronize()
        return CALIBRATION_CYCLES / between(start, end)


class _Piece:
    """Work that is being queued behind a spin of so many cycles."""

    def __init__(self, cycles: float) -> None:
        self._start, self._end = events()
        self.launches = 0
        torch.cuda._sleep(round(cycles))
        self._start.record()
        self._began = time.perf_counter()

    def end(self) -> float:
        """Seconds of the work on the device, once it is done."""
        self._end.record()
        self.queue_s = time.perf_counter() - self._began
        self.in_time = not self._start.query()
        """True if all of it was queued before the spin was over."""
        self._end.synchronize()
        return between(self._start, self._end)


class _Pieces(TorchDispatchMode):
    """A ``with`` in which work is queued in pieces of so many launches, gradient passes included.

    Where the host asks for a number from the device, a piece ends before.
    """

    def __init__(self, most: int, cycles: float) -> None:
        super().__init__()
        self._most, self._cycles = most, cycles
        self._piece: _Piece | None = None
        self.seconds = self.longest_queue_s = 0.0
        self.in_time = True
        """True if every piece was queued before its spin was over."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func.overloadpacket.__name__ == "_local_scalar_dense":
            self._end()
            return func(*args, **(kwargs or {}))
        piece = self._piece = self._piece or _Piece(self._cycles)
        out = func(*args, **(kwargs or {}))
        piece.launches += launches(func, args, kwargs, out)
        if piece.launches >= self._most:
            self._end()
        return out

    def __exit__(self, *exception: Any) -> None:
        super().__exit__(*exception)
        self._end()

    def _end(self) -> None:
        piece, self._piece = self._piece, None
        if piece is None:
            return
        seconds = piece.end()
        if piece.launches:
            self.seconds += seconds
            self.longest_queue_s = max(self.longest_queue_s, piece.queue_s)
            self.in_time &= piece.in_time


def events() -> tuple[torch.cuda.Event, torch.cuda.Event]:
    """Two events that tell the time between them."""
    return torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)


def between(start: torch.cuda.Event, end: torch.cuda.Event) -> float:
    """Seconds from one event to a later one, both over."""
    return float(start.elapsed_time(end)) / 1e3
