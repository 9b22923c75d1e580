"""One side of a comparison, and the coordinator's end of a process that steps with its code."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from gr_bench.errors import RequestError
from gr_bench.units import duration
from gr_bench.workers import side_worker
from gr_bench.workers.channel import TookTooLong, WorkerDied
from gr_bench.workers.process import WorkerProcess


class MissingOnSide(Exception):
    """The side does not have what was asked for."""


@dataclass(frozen=True)
class Side:
    """One side of a comparison, ready to be run."""

    name: str
    """``base`` or ``head``."""

    asked: str
    """The side as it was asked for, and the commit that this is."""

    folder: Path
    """The folder that its process runs in: its checkout, if it has one."""

    python: str = sys.executable
    first: tuple[Path, ...] = ()
    """Folders that its code is imported from before everything installed."""

    last: tuple[Path, ...] = ()
    """Folders that its code is imported from after everything installed."""

    own: tuple[Path, ...] = ()
    """Folders whose code is the side's own."""

    foreign: tuple[Path, ...] = ()
    """Folders whose code belongs to neither side: that of the working tree."""

    @property
    def has_environment(self) -> bool:
        """True if its interpreter was made for it."""
        return any(Path(self.python).is_relative_to(folder) for folder in self.own)

    @property
    def option(self) -> str:
        """The option that chooses its interpreter."""
        return f"--{self.name}-python"

    def __str__(self) -> str:
        return f"{self.name} ({self.asked})"


class SideProcess:
    """A freshly started process of :mod:`gr_bench.workers.side_worker`; a context manager.

    Args:
        side: whose code it runs.
        timeout_s: it is given up when an answer takes longer.
        threads: that libraries may compute with, if the step does not say.
        allowed: the processors that it may use; None where the system does not tell.

    Raises:
        RequestError: the interpreter cannot be started.
    """

    def __init__(
        self, side: Side, timeout_s: float, threads: int, allowed: set[int] | None
    ) -> None:
        self.side = side
        self._timeout_s = timeout_s
        processors = json.dumps(None if allowed is None else sorted(allowed))
        paths = [*map(str, side.first), os.environ.get("PYTHONPATH", "")]
        python = shutil.which(side.python)
        if python is None:
            raise RequestError(f"{side.option} {side.python}: there is no such program")
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            self._process = WorkerProcess(
                [os.path.abspath(python), "-P", side_worker.__file__, processors],
                self._log,
                environment={
                    "PYTHONPATH": os.pathsep.join(filter(None, paths)),
                    "OMP_NUM_THREADS": str(threads),
                },
                cwd=side.folder,
            )
        except OSError as error:
            self._log.close()
            why = error.strerror or str(error)
            raise RequestError(f"{side.option} {side.python}: {why}") from error

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
        return str(self.side)

    def ask(self, do: str, *, about: str = "", **arguments: Any) -> dict[str, Any]:
        """Have something done and wait for the answer.

        Args:
            do: the request, a method of :class:`gr_bench.workers.side_worker.SideWorker`.
            about: what it is about, for messages.
            arguments: of the request.

        Raises:
            MissingOnSide: the side does not have it.
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
            why = f"did not answer within {duration(self._timeout_s)}"
            raise self._wrong(about, why) from None
        except WorkerDied as death:
            raise self._wrong(about, str(death) or self._death()) from None
        if answer.get("missing"):
            raise MissingOnSide(answer["error"])
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
