"""Loads beside a measurement, which it is to stand up to."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

BUSY = "while True: pass"
STREAM = """
import numpy as np
a, b = np.ones(1 << 24), np.empty(1 << 24)  # 128 MiB each: no cache holds them
while True:
    np.copyto(b, a)
"""

CONDITIONS = {
    "quiet": [],
    "busy loop": [BUSY],
    "memory": [STREAM],
    "two busy loops": [BUSY, BUSY],
}
"""Programs that run beside the measurement, by what the condition is called."""


@contextmanager
def beside(condition: str) -> Iterator[None]:
    """The condition inside the ``with``; the system decides which processors its programs get."""
    with ExitStack() as stack:
        for program in CONDITIONS[condition]:
            process = subprocess.Popen([sys.executable, "-c", program])
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield
