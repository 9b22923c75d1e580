"""Two steps of one checkout as the two sides of a comparison."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from gr_bench.comparison.findings import Comparison
from gr_bench.comparison.judge import CALL_TIMEOUT_S, compare_ready
from gr_bench.comparison.paired import ProgressCallback
from gr_bench.comparison.revisions import SIDES
from gr_bench.comparison.side import Side
from gr_bench.comparison.subject import Call, Subject, read_calls
from gr_bench.errors import RequestError
from gr_bench.runs import environment

Prepare = Callable[[], Callable[[], object]]


@dataclass(frozen=True)
class StepPair(Subject):
    """Two calls that are one subject: each side has its own."""

    wanted: ClassVar[str] = "name functions that are there"
    calls: Mapping[str, Call]
    """By side."""

    @property
    def id(self) -> str:
        """Both ids."""
        return "/".join(self.calls[side].id for side in reversed(SIDES))

    @property
    def name(self) -> str:
        """The head's name over the base's."""
        return " / ".join(self.calls[side].name for side in reversed(SIDES))

    @property
    def threads(self) -> int:
        """The same for both."""
        return self.calls["base"].threads

    def request(self, side: str) -> dict[str, Any]:
        """The side's call."""
        return self.calls[side].request(side)

    def plain(self) -> dict[str, Any]:
        """Both calls by side."""
        return {side: call.plain() for side, call in self.calls.items()}


def time_two(
    steps: Mapping[str, Prepare | str],
    *,
    device: str,
    threads: int,
    threshold: float,
    budget_s: float,
    progress: ProgressCallback | None,
) -> Comparison:
    """See :func:`gr_bench.time_paired`."""
    if len(steps) != 2:
        raise RequestError(
            f"two steps are timed against each other, not {len(steps)}: give a dictionary with two "
            "names and the functions that prepare them"
        )
    places = {name: _place(name, prepare) for name, prepare in steps.items()}
    calls = dict(zip(SIDES, read_calls(places, device=device, threads=threads), strict=True))
    with tempfile.TemporaryDirectory(prefix="gr-bench-steps-") as home:
        everything = Path(Path(home).anchor)
        sides = {
            side: Side(side, calls[side].label, Path(home), first=_paths(), own=(everything,))
            for side in SIDES
        }
        return compare_ready(
            sides,
            [StepPair(calls)],
            threshold=threshold,
            budget_s=budget_s,
            timeout_s=CALL_TIMEOUT_S,
            keep=lambda everything: None,
            about={"environment": environment.describe(device)},
            notes=(),
            progress=progress or (lambda spent_s, what, *, lasting=False: None),
        )


def _paths() -> tuple[Path, ...]:
    """The folders that this process imports from, but for those of its interpreter."""
    found = [Path(entry or Path.cwd()).resolve() for entry in sys.path]
    own = {Path(sys.prefix), Path(sys.base_prefix)}
    return tuple(path for path in found if path.is_dir() and not own & {path, *path.parents})


def _place(name: str, prepare: Prepare | str) -> str:
    """The place from which another process can import a function."""
    if isinstance(prepare, str):
        return prepare
    module = getattr(prepare, "__module__", None)
    function = getattr(prepare, "__qualname__", "<unnamed>")
    file = getattr(sys.modules.get(str(module)), "__file__", None)
    if "<" in function or module is None or file is None:
        raise RequestError(
            f"step {name!r} cannot be imported by another process: define its function at the top "
            "level of a file, or write it as package.module:function or file.py:function"
        )
    return f"{file}:{function}" if module == "__main__" else f"{module}:{function}"
