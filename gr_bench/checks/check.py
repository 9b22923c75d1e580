"""``gr-bench check``: a method asked rule by rule, in a process that may not come back."""

from __future__ import annotations

import os
import select
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import IO, Any, Self

from gr_bench import registry
from gr_bench.checks.outcome import Outcome, Result, finding
from gr_bench.errors import RequestError
from gr_bench.units import duration
from gr_bench.workers.channel import TookTooLong, WorkerDied
from gr_bench.workers.process import WorkerProcess

TIMEOUT_S = 30.0
"""The longest that one rule may take."""

START_S = 60.0
"""The longest that a process may take to start and to import PyTorch."""

STACK_S = 1.0
"""A process gets so long to write its stack once its time is over."""


class Checker:
    """Asks methods, in a process that is started anew when one does not come back.

    A context manager.

    Args:
        model: in the place of the usual ones; None for these.
        compiled: True to ask what needs PyTorch's compiler, too.
        timeout_s: the longest that one rule may take.
        environment: variables of the process beside this one's.
    """

    def __init__(
        self,
        *,
        model: str | None = None,
        compiled: bool = False,
        timeout_s: float = TIMEOUT_S,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._subject = {"model": model, "compiled": compiled, "timeout_s": timeout_s}
        self._timeout_s = timeout_s
        self._environment = environment
        self._open = ExitStack()
        self._worker: tuple[WorkerProcess, IO[bytes]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def check(self, spec: str, rules: Sequence[str] | None = None) -> Iterator[Result]:
        """The verdicts on a method, as they become known.

        Once no step comes to its end, nothing more is asked.

        Args:
            spec: the method, as in suites.
            rules: the names of those to ask; by default all.

        Raises:
            RequestError: no such method or model.
        """
        from gr_bench.checks.rules import BY_NAME, RULES, result, unasked

        wanted = [BY_NAME[name] for name in rules] if rules else list(RULES)
        stopped = False
        for rule in wanted:
            if stopped:
                yield unasked(rule)
                continue
            answer = self._ask(spec, rule.name)
            found = result(rule, answer) if isinstance(answer, Outcome) else Result(**answer)
            yield found
            stopped = rule is RULES[0] and found.verdict == "finding"

    def _ask(self, spec: str, rule: str) -> Outcome | dict[str, Any]:
        worker, log = self._worker or self._start()
        log.seek(0)
        log.truncate()
        worker.channel.send({"spec": registry.METHODS.placed(spec), "rule": rule, **self._subject})
        try:
            answer = worker.channel.answer(self._timeout_s + STACK_S)
        except TookTooLong:
            place = _stack(log)
            self._end()
            return finding(f"it did not return within {duration(self._timeout_s)}", place)
        except WorkerDied:
            death = worker.death()
            place = _stack(log)
            self._end()
            return finding(f"it took its process down: {death}", place)
        if "refused" in answer:
            raise RequestError(answer["refused"])
        return answer

    def _start(self) -> tuple[WorkerProcess, IO[bytes]]:
        log = self._open.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        command = [sys.executable, "-X", "faulthandler", "-m", "gr_bench.checks.worker"]
        path = {"PYTHONPATH": os.pathsep.join(p or "." for p in sys.path)}
        environment = path | dict(self._environment or {})
        worker = WorkerProcess(command, log, environment=environment)
        self._open.enter_context(worker)
        try:
            _await_ready(worker)
        except (WorkerDied, TookTooLong):
            log.seek(0)
            told = log.read().decode(errors="replace").strip().rpartition("\n")[2]
            raise RequestError(f"no process to check in: {told or 'it does not start'}") from None
        self._worker = worker, log
        return self._worker

    def _end(self) -> None:
        self._open.close()
        self._worker = None


def _await_ready(worker: WorkerProcess) -> None:
    if not select.select([worker.channel], [], [], START_S)[0]:
        raise TookTooLong
    worker.channel.read()


def _stack(log: IO[bytes]) -> str | None:
    from gr_bench.checks.places import of_dump

    log.seek(0)
    return of_dump(log.read().decode(errors="replace"))
