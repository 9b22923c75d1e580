"""gr-bench: what gradient regularization costs, what it gains, and which solution it picks.

Its front door is five functions; the command line runs, reports and compares through them, too.
Importing this package imports nothing heavy: PyTorch is there when something is measured.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gr_bench.version import __version__

if TYPE_CHECKING:
    from gr_bench.comparison.findings import Comparison
    from gr_bench.comparison.paired import ProgressCallback
    from gr_bench.runs.results import Results
    from gr_bench.runs.runner import Watcher
    from gr_bench.runs.suite import Suite

__all__ = ["__version__", "compare", "load", "report", "run", "time_paired"]


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
    executor: str = "local",
    address: str | None = None,
    gpu_share: float = 1.0,
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
        executor: ``local``, or ``ray`` for a cluster.
        address: the cluster's, ``HOST:PORT``; by default Ray's variable, the one that runs here, or
            one that is started here for the run.
        gpu_share: the part of a GPU that a training takes there.

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

    budget_s = None if budget is None else _seconds(budget)
    how: dict[str, Any] = {"settings": settings, "only": only, "device": device}
    if isinstance(suite, Suite):
        chosen = suite
    elif isinstance(suite, Mapping):
        chosen = build_suite("suite", dict(suite), **how)
    else:
        chosen = load_suite(str(suite), **how)
    folder = Path("runs", chosen.name) if out is None else Path(out)

    from gr_bench.runs.executors import executors
    from gr_bench.runs.results import Results
    from gr_bench.runs.runner import Unwatched, run_suite

    with executors(executor, chosen.devices, address, gpu_share) as make_executor:
        outcome = run_suite(
            chosen,
            folder,
            make_executor,
            watcher or Unwatched(),
            fresh=fresh,
            budget_s=budget_s,
            elsewhere=executor != "local",
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
    folders: str | Path | Sequence[str | Path],
    formats: Iterable[str] = ("html", "md"),
    *,
    out: str | Path | None = None,
    style: str = "screen",
    latex: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write tables and figures of what a run has so far, or several runs side by side.

    Args:
        folders: a run's, finished or not; or those of several, which are columns of one page.
        formats: of ``html`` and ``md``.
        out: where it goes, a folder that is replaced as a whole; by default the run's ``report``,
            and of several runs ``side-by-side``.
        style: ``paper`` or ``slides`` for the figures of a run in that look, too, in
            ``figures-paper`` or ``figures-slides`` beside the page.
        latex: also write ``latex`` beside it: tables, figures, a paragraph on how it was measured,
            and BibTeX entries; of one run.
        progress: told how many figures have been drawn, of how many.

    Returns:
        The pages written, and the files of figures and for LaTeX.

    Raises:
        RequestError: a folder is not a run's, or nothing has been measured yet; ``out`` holds
            something else; a style or LaTeX of several runs.

    Example:
        >>> import gr_bench
        >>> [page.name for page in gr_bench.report("runs/example")]
        ['report.html', 'report.md']
    """
    from gr_bench.errors import RequestError
    from gr_bench.experiments import looks

    looks.find(style)
    runs = [Path(folders)] if isinstance(folders, str | Path) else [*map(Path, folders)]
    if len(runs) != 1:
        from gr_bench.reports.side_by_side import FOLDER as several
        from gr_bench.reports.side_by_side import write_side_by_side

        if style != looks.DEFAULT or latex:
            asked = "LaTeX" if latex else f"style {style}"
            raise RequestError(f"{asked} is for the report of one run: give it one")
        return write_side_by_side(runs, Path(out or several), formats, progress)
    from gr_bench.reports.page import FOLDER, write_report

    (folder,) = runs
    target = folder / FOLDER if out is None else Path(out)
    written = write_report(folder, formats, progress, target)
    if style == looks.DEFAULT and not latex:
        return written
    from gr_bench.reports.latex import write_figures, write_latex

    results = load(folder)
    if style != looks.DEFAULT:
        written += write_figures(results, target / f"figures-{style}", style)
    if latex:
        written += write_latex(results, target / "latex")
    return written


def compare(
    base: str | Path,
    head: str | Path,
    *,
    calls: Mapping[str, str] | Iterable[str] = (),
    suite: str | None = None,
    only: str | None = None,
    device: str | None = None,
    threads: int = 1,
    threshold: str | float = "2%",
    budget: str | float = "5m",
    build: str | None = None,
    base_python: str = sys.executable,
    head_python: str = sys.executable,
    json_file: str | Path | None = None,
    progress: ProgressCallback | None = None,
) -> Comparison:
    """Two sides against each other: revisions of the git repository here, releases, or stored runs.

    Args:
        base: ``git:REVISION``, ``pip:REQUIREMENT``, or a run's folder.
        head: the same sort of thing, to be judged against ``base``.
        calls: functions that prepare and return a step, a callable without arguments:
            ``package.module:function`` or ``file.py:function``, each with ``NAME=`` before it or
            not, or a dictionary from names to such places. A file that both revisions have is each
            one's own; any other is the one on disk, for both.
        suite: whose step-cost cells are stepped where there are no calls; by default ``compare``.
        only: a pattern; only cells that match are measured.
        device: the place of the steps: ``cpu``, ``cuda`` or ``cuda:N``; by default where the suite
            says, and ``cpu`` for calls.
        threads: that calls compute with.
        threshold: the smallest difference that counts, as ``"2%"`` or a part of 1.
        budget: the most time that measuring may take, as ``"5m"`` or in seconds. It ends as soon as
            all is known.
        build: a shell command that builds a checkout, as ``"pip install -e ."``, in an environment
            of its own for each side.
        base_python: the interpreter that runs the base.
        head_python: the interpreter that runs the head.
        json_file: gets everything that was measured, whatever ends the comparison.
        progress: told how it goes on.

    Raises:
        RequestError: whatever is wrong with the request, or with one side.

    Example:
        >>> import gr_bench
        >>> found = gr_bench.compare("runs/example", "runs/example")
        >>> found.regressed
        False
    """
    from gr_bench.comparison.compare import compare_two

    return compare_two(
        {"base": str(base), "head": str(head)},
        suite=suite,
        calls=calls,
        only=only,
        device=device,
        threads=threads,
        threshold=_share(threshold),
        budget_s=_seconds(budget),
        build=build,
        pythons={"base": base_python, "head": head_python},
        json_file=None if json_file is None else Path(json_file),
        progress=progress,
    )


def time_paired(
    steps: Mapping[str, Callable[[], Callable[[], object]] | str],
    *,
    device: str = "cpu",
    threads: int = 1,
    threshold: str | float = "2%",
    budget: str | float = "2m",
    progress: ProgressCallback | None = None,
) -> Comparison:
    """Two steps of one checkout against each other, timed as :func:`compare` times revisions.

    Args:
        steps: two names with the functions that prepare and return a step each, the first of them
            the base. Every function is called in processes of their own, so it must be one that can
            be imported: defined at the top level of a module or a script, or written as
            ``package.module:function`` or ``file.py:function``.
        device: the place of the steps.
        threads: that they compute with.
        threshold: the smallest difference that counts, as ``"2%"`` or a part of 1.
        budget: the most time that it may take; it ends as soon as the answer is known.
        progress: told how it goes on.

    Returns:
        The comparison: its ``table`` has the time of either step, the ratio of the second to the
        first with its 95 % interval, and the verdict.

    Raises:
        RequestError: not two steps, a function that cannot be imported, or one that fails.

    Example:
        >>> import gr_bench
        >>> def prepare():
        ...     return lambda: None
        >>> gr_bench.time_paired({"old": prepare, "new": prepare})
        Traceback (most recent call last):
        ...
        gr_bench.errors.RequestError: step 'old' cannot be imported by another process: ...
    """
    from gr_bench.comparison.two_steps import time_two

    return time_two(
        steps,
        device=device,
        threads=threads,
        threshold=_share(threshold),
        budget_s=_seconds(budget),
        progress=progress,
    )


def _seconds(budget: str | float) -> float:
    from gr_bench.units import parse_duration

    return parse_duration(budget) if isinstance(budget, str) else budget


def _share(threshold: str | float) -> float:
    from gr_bench.units import parse_share

    return parse_share(threshold) if isinstance(threshold, str) else threshold
