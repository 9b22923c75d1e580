"""The coordinator's end of a process that steps with one revision's code."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gr_bench.comparison.revisions import Revision
from gr_bench.errors import RequestError
from gr_bench.meters.conditions import allowed_processors

WORKER = Path(__file__).with_name("worker.py")


class Lacks(Exception):
    """The revision does not have what was asked for."""


@dataclass(frozen=True)
class Side:
    """A revision ready to be run."""

    revision: Revision
    folder: Path
    python: str = sys.executable


class Process:
    """A freshly started process of :mod:`gr_bench.comparison.worker`; a context manager.

    Args:
        side: whose code it runs.
        timeout_s: it is given up when an answer takes longer.

    Raises:
        RequestError: the interpreter cannot be started.
    """

    def __init__(self, side: Side, timeout_s: float) -> None:
        self._side = side
        self._timeout_s = timeout_s
        self._rest = b""
        allowed = allowed_processors()
        processors = json.dumps(None if allowed is None else sorted(allowed))
        paths = [str(side.folder), str(side.folder / "src"), os.environ.get("PYTHONPATH", "")]
        option = f"--{side.revision.side}-python"
        python = shutil.which(side.python)
        if python is None:
            raise RequestError(f"{option} {side.python}: there is no such program")
        self._errors = open(side.folder.parent / f"{side.revision.side}.log", "wb+")  # noqa: SIM115
        try:
            self._popen = subprocess.Popen(
                [os.path.abspath(python), "-P", str(WORKER), processors],
                cwd=side.folder,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                bufsize=0,
                start_new_session=True,  # Ctrl-C goes to the coordinator alone
            )
        except OSError as error:
            self._errors.close()
            why = error.strerror or str(error)
            raise RequestError(f"{option} {side.python}: {why}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._popen.kill()
        self._popen.wait()
        for stream in (self._popen.stdin, self._popen.stdout, self._errors):
            assert stream is not None
            with suppress(OSError):
                stream.close()

    def __str__(self) -> str:
        return str(self._side.revision)

    def ask(self, do: str, *, about: str = "", **arguments: Any) -> dict[str, Any]:
        """Have something done and wait for the answer.

        Args:
            do: the request, a method of :class:`gr_bench.comparison.worker.Worker`.
            about: what it is about, for messages.
            arguments: of the request.

        Raises:
            Lacks: the revision does not have it.
            RequestError: it failed, took too long, or the process has died.
        """
        self.tell(do, **arguments)
        return self.answer(about)

    def tell(self, do: str, **arguments: Any) -> None:
        """Ask without waiting; :meth:`answer` is to be called next."""
        assert self._popen.stdin is not None
        with suppress(BrokenPipeError):  # it has died: its answer will tell
            self._popen.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")

    def answer(self, about: str = "") -> dict[str, Any]:
        """See :meth:`ask`."""
        assert self._popen.stdout is not None
        output = self._popen.stdout.fileno()
        while b"\n" not in self._rest:
            if not select.select([output], [], [], self._timeout_s)[0]:
                raise self._wrong(about, f"took longer than {self._timeout_s / 60:g} minutes")
            data = os.read(output, 1 << 16)
            if not data:
                raise self._wrong(about, self._death())
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        if answer.get("lacks"):
            raise Lacks(answer["error"])
        if "error" in answer:
            raise self._wrong(about, answer["error"])
        return answer

    def _wrong(self, about: str, reason: str) -> RequestError:
        return RequestError(": ".join(filter(None, (str(self), about, reason))))

    def _death(self) -> str:
        code = self._popen.wait()
        if code < 0:
            return f"its process was killed by signal {-code} ({signal.Signals(-code).name})"
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"its process exited with code {code}"
