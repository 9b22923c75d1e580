"""The time that a thread has waited for a processor, by the system's account."""

from __future__ import annotations

import os
import time
import weakref
from contextlib import suppress


class WaitingAccount:
    """Wall time, and how much of it this thread has waited for a processor.

    Linux keeps that account (``/proc/thread-self/schedstat``); elsewhere the waiting is always 0.
    Sleeping, and waiting for the disk, is the thread's own doing and not in it; neither is time
    that a hypervisor takes from the whole machine.
    """

    def __init__(self) -> None:
        self._account: int | None = None
        with suppress(OSError):
            self._account = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
            weakref.finalize(self, os.close, self._account)

    def now(self) -> tuple[float, float]:
        """Seconds by either; no waiting falls between the two readings."""
        while True:
            before = self._waited()
            now = time.perf_counter()
            if self._waited() == before:
                return now, before

    def _waited(self) -> float:
        if self._account is None:
            return 0.0
        return int(os.pread(self._account, 100, 0).split()[1]) * 1e-9
