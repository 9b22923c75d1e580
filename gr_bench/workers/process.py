"""A worker process, from the coordinator's side."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from gr_bench.workers.channel import Channel, read_at_work

LEAVE_S = 10.0
"""A worker that was asked to leave is killed after so long."""


class WorkerProcess:
    """A freshly started process and the channel to it; a context manager that ends it.

    Args:
        command: what to run. Two arguments are appended: the number of the file in which it notes
            who is at work, and when it was started, by ``time.monotonic()``.
        log: gets what it prints.
        environment: variables beside the coordinator's own.
        cwd: its working directory.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: IO[Any],
        *,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self._at_work = tempfile.TemporaryFile()  # noqa: SIM115
        number = self._at_work.fileno()
        try:
            self._popen = subprocess.Popen(
                [*command, str(number), str(time.monotonic())],
                cwd=cwd,
                env=os.environ | dict(environment or {}),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                pass_fds=[number],
                start_new_session=True,  # Ctrl-C goes to the coordinator alone, which then stops it
            )
        except OSError:
            self._at_work.close()
            raise
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        self.channel = Channel(self._popen.stdin, self._popen.stdout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()

    @property
    def at_work(self) -> list[str]:
        """The ids of the cells whose code it ran last, or is running; none if none."""
        return read_at_work(self._at_work.fileno())

    def death(self) -> str:
        """The way it ended, in words; a process that is still there after all is killed."""
        try:
            self._popen.wait(timeout=LEAVE_S)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        code = self._popen.returncode
        if code < 0:
            return f"killed by signal {-code} ({signal.Signals(-code).name})"
        return f"exited with code {code}"

    def leave(self) -> None:
        """Have it end in its own time, which is short."""
        self.channel.close()
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(timeout=LEAVE_S)
        self.kill()

    def kill(self) -> None:
        """End it at once."""
        self._popen.kill()
        self._popen.wait()
        self.channel.close()
        self._at_work.close()
