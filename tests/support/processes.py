"""gr-bench as a user runs it: in processes of its own."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

SERVER = """
import json, os, resource, sys, traceback
import gr_bench.cli, gr_bench.reports
import gr_bench.runs.listing, gr_bench.runs.progress, gr_bench.runs.runner

for line in sys.stdin:
    asked = json.loads(line)
    child = os.fork()
    if not child:
        os.chdir(asked["cwd"])
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(os.open(asked["out"], os.O_CREAT | os.O_WRONLY), 1)
        os.dup2(os.open(asked["err"], os.O_CREAT | os.O_WRONLY), 2)
        if asked["file_bytes"] is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (asked["file_bytes"],) * 2)
        sys.argv = ["gr-bench", *asked["argv"]]
        code = 1
        try:
            gr_bench.cli.main()
        except SystemExit as end:
            code = end.code
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        os._exit(code)  # without the interpreter's own end, which takes seconds in a fork
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


class Warm:
    """Commands as forks of one process that has done the imports, which take seconds."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count()
        self._server = subprocess.Popen(
            [sys.executable, "-c", SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.communicate()

    def __call__(
        self, *argv: object, cwd: Path | None = None, file_bytes: int | None = None
    ) -> Ended:
        """Run a command to its end.

        Args:
            argv: the arguments.
            cwd: working directory, by default an empty one.
            file_bytes: no file can grow beyond this, as on a full disk.
        """
        folder = self._folder / str(next(self._numbers))
        (folder / "cwd").mkdir(parents=True)
        asked: dict[str, Any] = {
            "argv": [str(argument) for argument in argv],
            "cwd": str(cwd or folder / "cwd"),
            "out": str(folder / "out"),
            "err": str(folder / "err"),
            "file_bytes": file_bytes,
        }
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(asked) + "\n")
        self._server.stdin.flush()
        code = int(self._server.stdout.readline())
        return Ended(code, (folder / "out").read_text(), (folder / "err").read_text())


class Background:
    """A gr-bench in its own session, for sending signals to."""

    def __init__(self, *argv: object, cwd: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gr_bench", *map(str, argv)],
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # a shell that puts the tests into the background has them ignore Ctrl-C
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    def workers(self) -> list[psutil.Process]:
        """The worker processes that it has at present."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in children if is_worker(child)]

    def ctrl_c(self) -> Ended:
        """What a terminal does: SIGINT to every process of the group; wait for the end."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self._ended()

    def kill(self) -> Ended:
        """SIGKILL to the coordinator alone."""
        self.process.kill()
        return self._ended()

    def _ended(self) -> Ended:
        out, err = self.process.communicate(timeout=60)
        return Ended(self.process.returncode, out, err)


def is_worker(process: psutil.Process) -> bool:
    """Whether a process is one of gr-bench's workers."""
    with suppress(psutil.NoSuchProcess):
        return "gr_bench.workers.unit_worker" in process.cmdline()
    return False


def wait_until(condition: Callable[[], object], seconds: float = 120) -> None:
    """Wait for something that another process does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def lines_in(journal: Path) -> int:
    """Whole lines of a journal that may not be there yet."""
    return journal.read_bytes().count(b"\n") if journal.exists() else 0
