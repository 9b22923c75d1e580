"""The coordinator's end of a process that steps with one revision's code."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gr_bench.comparison.revisions import Revision
from gr_bench.errors import RequestError
from gr_bench.workers import revision_worker
from gr_bench.workers.channel import TookTooLong, WorkerDied
from gr_bench.workers.process import WorkerProcess


class MissingInRevision(Exception):
    """The revision does not have what was asked for."""


@dataclass(frozen=True)
class Side:
    """A revision ready to be run."""

    revision: Revision
    folder: Path
    python: str = sys.executable


class SideProcess:
    """A freshly started process of :mod:`gr_bench.workers.revision_worker`; a context manager.

    Args:
        side: whose code it runs.
        timeout_s: it is given up when an answer takes longer.
        allowed: the processors that it may use; None where the system does not tell.

    Raises:
        RequestError: the interpreter cannot be started.
    """

    def __init__(self, side: Side, timeout_s: float, allowed: set[int] | None) -> None:
        self._side = side
        self._timeout_s = timeout_s
        processors = json.dumps(None if allowed is None else sorted(allowed))
        paths = [str(side.folder), str(side.folder / "src"), os.environ.get("PYTHONPATH", "")]
        option = f"--{side.revision.side}-python"
        python = shutil.which(side.python)
        if python is None:
            raise RequestError(f"{option} {side.python}: there is no such program")
        self._log = open(side.folder.parent / f"{side.revision.side}.log", "wb+")  # noqa: SIM115
        try:
            self._process = WorkerProcess(
                [os.path.abspath(python), "-P", revision_worker.__file__, processors],
                self._log,
                environment={"PYTHONPATH": os.pathsep.join(filter(None, paths))},
                cwd=side.folder,
            )
        except OSError as error:
            self._log.close()
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
        self._process.kill()
        self._log.close()

    def __str__(self) -> str:
        return str(self._side.revision)

    def ask(self, do: str, *, about: str = "", **arguments: Any) -> dict[str, Any]:
        """Have something done and wait for the answer.

        Args:
            do: the request, a method of :class:`gr_bench.workers.revision_worker.RevisionWorker`.
            about: what it is about, for messages.
            arguments: of the request.

        Raises:
            MissingInRevision: the revision does not have it.
            RequestError: it failed, took too long, or the process has died.
        """
        self.tell(do, **arguments)
        return self.answer(about)

    def tell(self, do: str, **arguments: Any) -> None:
        """Ask without waiting; :meth:`answer` is to be called next."""
        self._process.channel.send({"do": do, **arguments})

    def answer(self, about: str = "") -> dict[str, Any]:
        """See :meth:`ask`."""
        try:
            answer = self._process.channel.answer(self._timeout_s)
        except TookTooLong:
            why = f"took longer than {self._timeout_s / 60:g} minutes"
            raise self._wrong(about, why) from None
        except WorkerDied:
            raise self._wrong(about, self._death()) from None
        if answer.get("missing"):
            raise MissingInRevision(answer["error"])
        if "error" in answer:
            raise self._wrong(about, answer["error"])
        return answer

    def _wrong(self, about: str, reason: str) -> RequestError:
        return RequestError(": ".join(filter(None, (str(self), about, reason))))

    def _death(self) -> str:
        death = self._process.death()
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines and death.startswith("exited") else f"its process was {death}"
