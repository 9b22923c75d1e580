"""gr-bench: what gradient regularization costs, what it gains, and which solution it picks.

Its front door is four functions; the command line runs, reports and compares through them, too.
Importing this package imports nothing heavy: PyTorch is there when something is measured.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gr_bench.version import __version__

if TYPE_CHECKING:
    from gr_bench.comparison.findings import Comparison
    from gr_bench.comparison.paired import ProgressCallback
    from gr_bench.runs.results import Results
    from gr_bench.runs.runner import Watcher
    from gr_bench.runs.suite import Suite

__all__ = ["__version__", "compare", "load", "report", "run"]


def run(
    suite: str | Path | Mapping[str, Any] | Suite,
    out: str | Path | None = None,
    *,
    settings: Iterable[str] = (),
    only: str | None = None,
    device: str | None = None,
    budget: str | float | None = None,
    fresh: bool = False,
    watcher: Watcher | None = None,
) -> Results:
    """Measure a suite, or go on with a run of it.

    Args:
        suite: a shipped suite's name, the path of a TOML file, what such a file would say, or a
            suite of :func:`gr_bench.runs.suite.load_suite`, to which the next three do nothing.
        out: the run's folder; by default ``runs/NAME``.
        settings: changes, as ``"step_cost.batch_sizes=[64]"``.
        only: a pattern; only cells that match are measured.
        device: run everything there: ``cpu``, ``cuda`` or ``cuda:N``.
        budget: the time that it may take, as ``"5m"`` or in seconds; by default the suite's own.
        fresh: put earlier results in the folder aside and start over.
        watcher: told of everything that happens.

    Returns:
        The run's tables; its ``outcome`` says what was done now.

    Raises:
        RequestError: whatever is wrong with the request, in one line.

    Example:
        >>> import gr_bench
        >>> run = gr_bench.run(
        ...     {
        ...         "title": "SAM on a small network",
        ...         "step_cost": [
        ...             {
        ...                 "methods": ["sgd", "sam"],
        ...                 "models": ["mlp(depth=2, width=16)"],
        ...                 "datasets": ["digits"],
        ...                 "batch_sizes": [32],
        ...                 "replicates": 2,
        ...                 "most_replicates": 2,
        ...                 "seconds_per_block": 0.1,
        ...             }
        ...         ],
        ...     },
        ...     out="runs/example",
        ... )
        >>> sorted(set(run.step_cost["method"]))
        ['sam', 'sgd']
    """
    from gr_bench.runs.suite import Suite, build_suite, load_suite
    from gr_bench.units import parse_duration

    budget_s = parse_duration(budget) if isinstance(budget, str) else budget
    how: dict[str, Any] = {"settings": settings, "only": only, "device": device}
    if isinstance(suite, Suite):
        chosen = suite
    elif isinstance(suite, Mapping):
        chosen = build_suite("suite", dict(suite), **how)
    else:
        chosen = load_suite(str(suite), **how)
    folder = Path("runs", chosen.name) if out is None else Path(out)

    from gr_bench.runs.executor import LocalExecutor
    from gr_bench.runs.results import Results
    from gr_bench.runs.runner import Unwatched, run_suite

    outcome = run_suite(
        chosen, folder, LocalExecutor, watcher or Unwatched(), fresh=fresh, budget_s=budget_s
    )
    return Results(folder, outcome)


def load(folder: str | Path) -> Results:
    """The tables of a run folder as attributes: ``load("runs/quick").step_cost`` and so on.

    Works while the run is going on, too: the tables then hold what is there so far.

    Raises:
        RequestError: the folder is not a run's.

    Example:
        >>> import gr_bench
        >>> run = gr_bench.load("runs/example")
        >>> columns = ["method", "time_ratio", "time_ratio_low", "time_ratio_high"]
        >>> len(run.step_cost[columns])
        3
    """
    from gr_bench.runs.results import Results

    return Results(folder)


def report(
    folder: str | Path,
    formats: Iterable[str] = ("html", "md"),
    *,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write tables and figures of what a run has so far into its folder ``report``.

    Args:
        folder: a run's, finished or not.
        formats: of ``html`` and ``md``.
        progress: told how many figures have been drawn, of how many.

    Returns:
        The pages written.

    Raises:
        RequestError: the folder is not a run's, or nothing has been measured yet.

    Example:
        >>> import gr_bench
        >>> [page.name for page in gr_bench.report("runs/example")]
        ['report.html', 'report.md']
    """
    from gr_bench.reports.page import write_report

    return write_report(Path(folder), formats, progress)


def compare(
    base: str | Path,
    head: str | Path,
    *,
    suite: str = "compare",
    only: str | None = None,
    device: str | None = None,
    threshold: str | float = "2%",
    budget: str | float = "5m",
    base_python: str = sys.executable,
    head_python: str = sys.executable,
    json_file: str | Path | None = None,
    progress: ProgressCallback | None = None,
) -> Comparison:
    """Two revisions of the git repository here, or two stored runs, against each other.

    Args:
        base: ``git:REVISION``, or a run's folder.
        head: the same sort of thing, to be judged against ``base``.
        suite: whose step-cost cells revisions are measured by.
        only: a pattern; only cells that match are measured.
        device: where revisions are measured: ``cpu``, ``cuda`` or ``cuda:N``; by default where the
            suite says.
        threshold: the smallest difference that counts, as ``"2%"`` or a part of 1.
        budget: the time for comparing revisions, as ``"5m"`` or in seconds; at least three pairs.
        base_python: the interpreter that runs the base.
        head_python: the interpreter that runs the head.
        json_file: gets everything that was measured, whatever ends the comparison.
        progress: told the seconds that have passed, and what is being done.

    Raises:
        RequestError: whatever is wrong with the request, or with one side.

    Example:
        >>> import gr_bench
        >>> found = gr_bench.compare("runs/example", "runs/example")
        >>> found.regressed
        False
    """
    from gr_bench.comparison.compare import compare_sides
    from gr_bench.units import parse_duration, parse_share

    return compare_sides(
        {"base": str(base), "head": str(head)},
        suite=suite,
        only=only,
        device=device,
        threshold=parse_share(threshold) if isinstance(threshold, str) else threshold,
        budget_s=parse_duration(budget) if isinstance(budget, str) else budget,
        pythons={"base": base_python, "head": head_python},
        json_file=None if json_file is None else Path(json_file),
        progress=progress,
    )
