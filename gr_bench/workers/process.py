"""A worker process, from the coordinator's side."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, Self

from gr_bench.workers.channel import Channel, read_at_work

LEAVE_S = 10.0
"""A worker that was asked to leave is killed after so long."""

MARK = "GR_BENCH_WORKER"
"""The environment variable by which the processes that a worker has started are known as its own,
whatever group or session they have gone to."""

STRAY_ROUNDS = 10

RESIDENT = re.compile(r"^(VmHWM|VmRSS):\s+(\d+) kB$", re.MULTILINE)
"""The lines of Linux's ``/proc/PID/status`` that tell of a process's memory."""


class Memory(NamedTuple):
    """Bytes of a process that are resident, and the most that were."""

    now: int
    peak: int


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
        self._mark = uuid.uuid4().hex
        number = self._at_work.fileno()
        try:
            self._popen = subprocess.Popen(
                [*command, str(number), str(time.monotonic())],
                cwd=cwd,
                env=os.environ | dict(environment or {}) | {MARK: self._mark},
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
        self.was_killed = False
        """True once :meth:`death` has found that another process killed it."""

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

    @property
    def has_ended(self) -> bool:
        """True of a process that has ended, even if one that it has started holds its channel."""
        if self._popen.returncode is not None:
            return True
        # it is not reaped by that: until its group is ended, no other one can have its number
        asked = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._popen.pid, asked) is not None

    def memory(self) -> Memory | None:
        """Its resident memory; None where that is not known, or it has ended."""
        with suppress(OSError):
            found = RESIDENT.findall(Path(f"/proc/{self._popen.pid}/status").read_text())
            sizes = {name: 1024 * int(kib) for name, kib in found}
            if len(sizes) == len(Memory._fields):
                return Memory(now=sizes["VmRSS"], peak=sizes["VmHWM"])
        return None

    def death(self) -> str:
        """The way it ended, in words; a process that is still there after all is killed."""
        self._wait()
        by_itself = self.has_ended
        self._end()
        code = self._popen.returncode
        self.was_killed = by_itself and code == -signal.SIGKILL
        if code < 0:
            return f"killed by signal {-code} ({signal.Signals(-code).name})"
        return f"exited with code {code}"

    def leave(self) -> None:
        """Have it end in its own time, which is short."""
        self.channel.close()
        self._wait()
        self.kill()

    def kill(self) -> None:
        """End it at once, and what it has started."""
        self._end()
        self.channel.close()
        self._at_work.close()

    def _wait(self) -> None:
        """Wait for its end, though not for ever."""
        until = time.monotonic() + LEAVE_S
        pause_s = 0.001
        while not self.has_ended and time.monotonic() < until:
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, 0.05)

    def _end(self) -> None:
        """Kill its process group, reap it, and kill what it has started and has left the group."""
        if self._popen.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._popen.pid, signal.SIGKILL)
            self._popen.kill()
            self._popen.wait()
            for _ in range(STRAY_ROUNDS):  # one may start another meanwhile
                strays = _marked(f"{MARK}={self._mark}")
                for stray in strays:
                    with suppress(ProcessLookupError, PermissionError):
                        os.kill(stray, signal.SIGKILL)
                if not strays:
                    break


def _marked(mark: str) -> list[int]:
    """The numbers of the processes that were started with an environment variable; none where the
    system has no ``/proc``, and none that have ended and are not reaped.
    """
    found = []
    for file in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # it has ended, or is another user's
            if mark.encode() in file.read_bytes().split(b"\0"):
                found.append(int(file.parent.name))
    return found
