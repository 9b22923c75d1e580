"""The command line. What a command needs is imported when it runs, so that ``--help`` is quick."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from gr_bench.errors import RequestError, printable, unknown
from gr_bench.version import __version__

if TYPE_CHECKING:
    from gr_bench.runs.suite import Suite

OK, FAILED, WRONG_REQUEST, UNDECIDED, INTERRUPTED = 0, 1, 2, 3, 130
CANNOT_TELL, CANNOT_GO_ON = 125, 128
"""Exit codes for ``git bisect run``: pass this commit over; end the bisection."""

WIDTH = 80
"""Columns of lines for people; those for programs are as long as they are."""

FORMATS = ("html", "md")
STYLES = ("screen", "paper", "slides")
"""Of figures; the first is that of the pages."""

_PATH = click.Path(path_type=Path)


def _examples(*commands: str) -> str:
    """The end of a command's help: command lines, each on a line of its own."""
    return "\n".join(["\b", "Examples:", *(f"  gr-bench {command}" for command in commands)])


class _Commands(click.Group):
    """A group whose output may be read by a program that stops early."""

    def invoke(self, ctx: click.Context) -> Any:
        """See :meth:`click.Group.invoke`, which would end with exit code 1 then."""
        try:
            result = super().invoke(ctx)
            if sys.stdout is not None:  # it may be closed
                sys.stdout.flush()
        except BrokenPipeError:
            _end_unread()
        return result


@click.group(
    name="gr-bench",
    cls=_Commands,
    epilog=_examples("run quick", "run quick --only '*f-gr*'", "report runs/quick", "list methods"),
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.version_option(__version__, message="gr-bench %(version)s", help="Print the version.")
@click.pass_context
def app(context: click.Context) -> None:
    """Benchmarks of gradient regularization: its cost, its benefit and its implicit bias.

    Exit codes: 0 success; 1 something failed; 2 wrong request; 3 not known (bisect; compare only
    with --fail-undecided); 130 interrupted, with all earlier measurements kept.
    """
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command("list", epilog=_examples("list", "list models"))
@click.argument("kind", required=False)
def list_(kind: str | None) -> None:
    """List everything that can be measured, by the names used in suites.

    KIND is methods, combinators (methods built from others), optimizers, models, datasets,
    experiments or suites; without it, all of them are listed.
    """
    from gr_bench.runs import listing

    if kind is not None and kind not in listing.KINDS:
        raise unknown("list of", kind, listing.KINDS)
    for each in [kind] if kind else listing.KINDS:
        if kind is None:
            print(f"{each}:")
        for name, about in listing.KINDS[each]():
            line = f"  {name:<18} {about}" if kind is None else f"{name}\t{about}"
            if kind is None:
                line = textwrap.fill(line, WIDTH, subsequent_indent=" " * 21)
            print(line.rstrip())


@app.command(
    short_help="Measure a suite, or continue an interrupted run.",
    epilog=_examples(
        "run quick",
        "run my.toml --out runs/mine",
        "run quick --budget 10m --report",
        "run cpu --only 'step_cost*resnet*' --dry-run",
        "run quick --set generalization.epochs=5 --device cuda",
        "run paper-generalization --executor ray --address 10.0.0.1:6379",
    ),
)
@click.argument("suite")
@click.option(
    "--set",
    "settings",
    metavar="KEY=VALUE",
    multiple=True,
    help="Change a setting: experiment.key=value for all grids of an experiment.",
)
@click.option("--only", metavar="GLOB", help="Only cells that match, as printed by --dry-run.")
@click.option(
    "--out", type=_PATH, metavar="DIR", help="The run's folder.", show_default="runs/SUITE"
)
@click.option("--device", help="Measure on cpu, cuda or cuda:N.", show_default="the suite's")
@click.option(
    "--budget",
    metavar="TIME",
    help="Time limit, such as 90s, 5m or 1h; a run continues when given more.",
    show_default="the suite's",
)
@click.option(
    "--report",
    "draw",
    is_flag=True,
    help="Write the report, and update it during the run.",
)
@click.option("--executor", default="local", help="local, or ray for the nodes of a Ray cluster.")
@click.option(
    "--address",
    metavar="HOST:PORT",
    help="Address of the Ray cluster.",
    show_default="the local one, started if necessary",
)
@click.option("--gpu-share", default=1.0, help="Share of a GPU per training, with ray.")
@click.option(
    "--fresh", is_flag=True, help="Set earlier results in the folder aside and start over."
)
@click.option(
    "--dry-run", is_flag=True, help="Print the cells and try plug-ins, without measuring."
)
@click.option("--no-plugins", is_flag=True, help="Refuse code that is not installed.")
def run(
    suite: str,
    settings: tuple[str, ...],
    only: str | None,
    out: Path | None,
    device: str | None,
    budget: str | None,
    draw: bool,
    executor: str,
    address: str | None,
    gpu_share: float,
    fresh: bool,
    dry_run: bool,
    no_plugins: bool,
) -> None:
    """Measure SUITE, or continue an interrupted run of it.

    SUITE is the name of a shipped suite or the path of a TOML file.
    """
    from gr_bench.meters.device_name import check_device_name
    from gr_bench.plugins.place import own_code
    from gr_bench.runs.shipped import read_suite
    from gr_bench.units import parse_duration

    read_suite(suite)
    budget_s = None if budget is None else parse_duration(budget)
    if device is not None:
        check_device_name(device)
    from gr_bench.runs.executors import check_executor
    from gr_bench.runs.suite import load_suite

    check_executor(executor, address, gpu_share)
    chosen = load_suite(suite, settings=settings, only=only, device=device, no_plugins=no_plugins)
    if code := own_code(chosen.plugins):
        print(f"runs code of its own: {', '.join(code)}", file=sys.stderr)
    if dry_run:
        for cell in chosen.cells:
            print(cell)
        if chosen.plugins:
            _rehearse(chosen)
        return
    from dataclasses import asdict

    from gr_bench.runs.about import earlier_run

    folder = out or Path("runs") / chosen.name
    if not fresh:
        earlier_run(folder, chosen.resolved, map(asdict, chosen.plugins))
    import gr_bench
    from gr_bench.reports.live import LiveReport
    from gr_bench.runs.known import Known
    from gr_bench.runs.progress import Display
    from gr_bench.runs.words import last_words

    console = _console()
    live = LiveReport(folder, _teller(console)) if draw else None
    try:
        with Display(console, *([live] if live else []), known=Known(folder)) as display:
            results = gr_bench.run(
                chosen,
                folder,
                budget=budget_s,
                fresh=fresh,
                watcher=display,
                executor=executor,
                address=address,
                gpu_share=gpu_share,
            )
    except KeyboardInterrupt:
        again = shlex.join(argument for argument in sys.argv[1:] if argument != "--fresh")
        console.print(f"interrupted; to continue: gr-bench {again}", markup=False, soft_wrap=True)
        raise click.exceptions.Exit(INTERRUPTED) from None
    finally:
        if live:
            live.stop()
    for line in last_words(results):
        _teller(console)(line)
    if draw:
        _draw([folder])
    else:
        console.print(f"next: gr-bench report {folder}", markup=False, soft_wrap=True)
        print(folder)
    assert results.outcome is not None
    if results.outcome.failed:
        raise click.exceptions.Exit(FAILED)


def _rehearse(suite: Suite) -> None:
    """Try a suite's plug-ins; say what is wrong with each and exit with 2 if anything is."""
    from gr_bench.runs.rehearsal import faults

    suite.check_methods()
    found = list(faults(suite))
    for fault in found:
        _wrong(fault)
    if found:
        raise click.exceptions.Exit(WRONG_REQUEST)


def _teller(console: Any) -> Callable[[str], None]:
    """A function that prints a line on a console, as it is."""
    return lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True)


def _console() -> Any:
    from rich.console import Console

    return Console(stderr=True)


@app.command(
    short_help="Watch a run from another terminal.",
    epilog=_examples("watch runs/quick", "watch runs/quick --once"),
)
@click.argument("folder", type=_PATH, metavar="RUN")
@click.option("--once", is_flag=True, help="Print it once; where the output is no terminal, too.")
def watch(folder: Path, once: bool) -> None:
    """Show how a run is getting on until it ends: what runs, what is known, the time left.

    RUN is its folder. Watching changes nothing, and Ctrl-C ends the watching alone. Exit code 1 if
    the run has stopped without an end, as by kill -9: running its command again goes on.
    """
    from gr_bench.runs.about import read_about

    read_about(folder)
    from rich.console import Console

    from gr_bench.runs.watch import follow, look

    console = Console()
    seen = look(folder) if once or not console.is_terminal else follow(folder, console)
    console.print(seen)
    if seen.stopped:
        raise click.exceptions.Exit(FAILED)


@app.command(
    short_help="Measure the noise of this machine, or of comparisons of accuracy.",
    epilog=_examples(
        "calibrate",
        "calibrate --budget 10m --device cuda:1",
        "calibrate --generalization --budget 20m",
    ),
)
@click.option(
    "--generalization",
    is_flag=True,
    help="Measure how often a study calls SGD better than SGD, and the seeds needed for a gain.",
)
@click.option(
    "--budget",
    metavar="TIME",
    help="Approximate duration, such as 90s, 2m or 1h.",
    show_default="2m; for studies 5m",
)
@click.option(
    "--out",
    type=_PATH,
    metavar="DIR",
    help="The run's folder.",
    show_default="runs/calibrate[-generalization]",
)
@click.option(
    "--device", default="cpu", help="Measure on cpu, cuda or cuda:N; studies only on cpu."
)
def calibrate(generalization: bool, budget: str | None, out: Path | None, device: str) -> None:
    """Measure this machine's noise, by timing equal steps as if they were different.

    With --generalization, run whole studies of SGD against SGD under other names and with other
    seeds, including tuning, splits, equal cost and verdicts. The output is how often one is called
    better, how often the intervals contain 0, and how often a planted gain is found, by seeds.
    """
    from gr_bench.meters.device_name import check_device_name
    from gr_bench.units import parse_duration, require_budget

    check_device_name(device)
    if generalization:
        if device != "cpu":
            raise RequestError(f"studies run on cpu, not on {device}: leave out --device")
        _calibrate_generalization(parse_duration(budget or "5m"), out)
        return
    from gr_bench.runs.calibrate import LEAST_S, write_calibration

    budget_s = parse_duration(budget or "2m")
    require_budget(budget_s, LEAST_S, "noise")
    import gr_bench
    from gr_bench.runs.progress import Display

    folder = out or Path("runs/calibrate")
    with Display(_console()) as display:
        results = gr_bench.run(
            "calibrate", folder, device=device, budget=budget_s, fresh=True, watcher=display
        )
    for line in write_calibration(results):
        print(line)


def _calibrate_generalization(budget_s: float, out: Path | None) -> None:
    """Do null studies and print what they found; exit with 130 if they were interrupted."""
    from gr_bench.runs import calibrate_generalization as studies
    from gr_bench.runs.budget_bar import BudgetBar
    from gr_bench.units import require_budget

    require_budget(budget_s, studies.LEAST_S, "studies")
    done: list[Any] = []
    interrupted = False
    with BudgetBar(budget_s) as progress:
        try:
            for study in studies.null_studies(budget_s, progress):
                done.append(study)
        except KeyboardInterrupt:
            interrupted = True
    for line in studies.write_findings(done, out or studies.FOLDER, budget_s):
        print(line)
    if interrupted:
        raise click.exceptions.Exit(INTERRUPTED)


@app.command(
    short_help="Check that the harness measures correctly on a device.",
    epilog=_examples("doctor", "doctor --device cuda:0", "doctor --budget 30s --json"),
)
@click.option("--device", default="cpu", help="Device to check: cpu, cuda or cuda:N.")
@click.option("--budget", metavar="TIME", default="2m", help="Approximate time limit.")
@click.option("--json", "as_json", is_flag=True, help='Print {"checks": [...]} instead.')
def doctor(device: str, budget: str, as_json: bool) -> None:
    """Check that the harness measures correctly on a device: exit code 1 if a check fails.

    Each check has a known answer: a kernel with twice the work, a pair of equal steps, a known
    allocation. A check left open by noise is unknown, not a failure.
    """
    from gr_bench.doctor.check import LEAST_S
    from gr_bench.meters.device_name import check_device_name
    from gr_bench.units import parse_duration, require_budget

    check_device_name(device)
    budget_s = parse_duration(budget)
    require_budget(budget_s, LEAST_S, "a device")
    from gr_bench.doctor import page
    from gr_bench.doctor.doctor import examine
    from gr_bench.runs.budget_bar import BudgetBar

    with BudgetBar(budget_s) as progress:
        checks = examine(device, budget_s, progress)
    for line in [page.as_json(checks)] if as_json else page.lines(checks):
        print(line)
    if any(check.verdict == "fail" for check in checks):
        raise click.exceptions.Exit(FAILED)


@app.command(
    short_help="Check that a training method is honest.",
    epilog=_examples(
        "check 'sam(rho=0.1)'",
        "check my_module:MyMethod --model 'resnet-18(width=8)'",
        "check my_module:MyMethod --json",
        "check --all",
    ),
)
@click.argument("method", required=False)
@click.option("--all", "all_", is_flag=True, help="Check every built-in method.")
@click.option(
    "--model", metavar="MODEL", help="Model to check on.", show_default="small ones of each kind"
)
@click.option("--compile", "compiled", is_flag=True, help="Also check under torch.compile.")
@click.option("--timeout", metavar="TIME", default="30s", help="Time limit for each rule.")
@click.option("--json", "as_json", is_flag=True, help='Print {"methods": [...]} instead.')
def check(
    method: str | None,
    all_: bool,
    model: str | None,
    compiled: bool,
    timeout: str,
    as_json: bool,
) -> None:
    """Check the properties of METHOD that a training loop relies on: exit code 1 on a finding.

    METHOD is written as in suites: a built-in name, or my_module:MyMethod. The verdict of a rule is
    pass, finding, not applicable or not known; a finding names its harm and its source line.
    """
    from gr_bench import registry
    from gr_bench.spec import parse
    from gr_bench.units import parse_duration

    if all_ == (method is not None):
        raise RequestError("give a METHOD, or --all")
    specs = list(registry.METHODS.built_in) if method is None else [registry.spell_method(method)]
    if method is not None:
        registry.check_method(method)
    if model is not None:
        registry.MODELS.resolve(parse(model), given=2)
    timeout_s = parse_duration(timeout)
    from gr_bench.checks import page
    from gr_bench.checks.check import Checker
    from gr_bench.checks.outcome import Result

    checked: dict[str, list[Result]] = {}
    with (
        _console().status("") as status,
        Checker(model=model, compiled=compiled, timeout_s=timeout_s) as checker,
    ):
        for spec in specs:
            checked[spec] = []
            for result in checker.check(spec):
                status.update(f"{spec}: {result.rule}")
                checked[spec].append(result)
            if all_ and not as_json:
                for line in [*page.findings(checked[spec]), page.summary(spec, checked[spec])]:
                    print(line)
    for spec, results in checked.items():
        if not (all_ or as_json):
            for line in page.lines(spec, results):
                print(line)
    if as_json:
        print(page.as_json(checked))
    if any(result.verdict == "finding" for found in checked.values() for result in found):
        raise click.exceptions.Exit(FAILED)


@app.command(
    short_help="Check whether HEAD is slower or larger than BASE.",
    epilog=_examples(
        "compare git:main git:HEAD --call bench.py:prepare_step",
        "compare git:HEAD git:WORKTREE --call train.loop:prepare --budget 2m",
        "compare git:main git:HEAD --call b.py:f --build 'pip install -e .'",
        "compare pip:lion-pytorch==0.1.4 pip:lion-pytorch --call b.py:f",
        "compare git:v1 git:HEAD --suite my-suite.toml --markdown comment.md",
        "compare runs/monday runs/friday",
    ),
)
@click.argument("base")
@click.argument("head")
@click.option(
    "--call",
    "calls",
    metavar="[NAME=]PLACE:FUNCTION",
    multiple=True,
    help="A function that prepares and returns a step, itself a function without arguments. PLACE "
    "is package.module, from each side, or file.py: from each side if both have it, otherwise from "
    "disk. Can be repeated.",
)
@click.option(
    "--suite",
    show_default="compare",
    help="Suite whose step-cost cells are timed without --call: name or TOML file.",
)
@click.option("--only", metavar="GLOB", help="Only cells that match, as for run.")
@click.option("--device", show_default="cpu", help="Measure on cpu, cuda or cuda:N.")
@click.option("--threads", type=click.IntRange(1), default=1, help="Number of threads for calls.")
@click.option(
    "--threshold",
    metavar="SHARE",
    default="2%",
    help="The smallest difference that counts. Slower: the ratio is beyond it and its interval "
    "excludes 1; same: the interval is within it. It also applies to FLOPs and peak memory.",
)
@click.option(
    "--budget",
    metavar="TIME",
    default="5m",
    help="Time limit for measuring, such as 90s, 2m or 1h; it ends as soon as everything is known.",
)
@click.option(
    "--build",
    metavar="COMMAND",
    help="Command that builds each checkout, in its own environment on top of this one.",
)
@click.option(
    "--base-python",
    metavar="PATH",
    default=sys.executable,
    show_default="this",
    help="Interpreter that runs BASE.",
)
@click.option(
    "--head-python",
    metavar="PATH",
    default=sys.executable,
    show_default="this",
    help="Interpreter that runs HEAD.",
)
@click.option(
    "--json", "json_file", type=_PATH, metavar="FILE", help="Write all measurements to FILE."
)
@click.option(
    "--markdown",
    "markdown_file",
    type=_PATH,
    metavar="FILE",
    help="Write a comment for a pull request to FILE.",
)
@click.option(
    "--fail-undecided",
    is_flag=True,
    help="Exit with 3 if no regression was shown but something is not known.",
)
@click.option(
    "--git-bisect",
    is_flag=True,
    help="Exit codes for `git bisect run`: 0 not worse, 1 worse, 125 cannot tell.",
)
def compare(
    base: str,
    head: str,
    calls: tuple[str, ...],
    suite: str | None,
    only: str | None,
    device: str | None,
    threads: int,
    threshold: str,
    budget: str,
    build: str | None,
    base_python: str,
    head_python: str,
    json_file: Path | None,
    markdown_file: Path | None,
    fail_undecided: bool,
    git_bisect: bool,
) -> None:
    """Check whether HEAD is slower or larger than BASE: exit code 1 if beyond the threshold.

    BASE and HEAD are git:REVISION, pip:REQUIREMENT, or folders of runs. Two revisions of the
    current git repository are checked out side by side, or two releases are installed, and both
    are timed in alternation, in pairs of fresh processes. git:WORKTREE is the working tree with its
    changes; git:A...B is the merge base of A and B. Two runs are compared by their stored results.
    """
    from gr_bench.units import parse_duration, parse_share

    share, budget_s = parse_share(threshold), parse_duration(budget)
    import gr_bench
    from gr_bench.files import check_writable, write_whole
    from gr_bench.runs.budget_bar import BudgetBar

    if markdown_file is not None:
        check_writable(markdown_file)
    try:
        with BudgetBar(budget_s) as progress:
            comparison = gr_bench.compare(
                base,
                head,
                calls=calls,
                suite=suite,
                only=only,
                device=device,
                threads=threads,
                threshold=share,
                budget=budget_s,
                build=build,
                base_python=base_python,
                head_python=head_python,
                json_file=json_file,
                progress=progress,
            )
    except RequestError as error:
        if not git_bisect:
            raise
        _wrong(str(error))
        of_this_commit = str(error).startswith("head ")
        raise click.exceptions.Exit(CANNOT_TELL if of_this_commit else CANNOT_GO_ON) from None
    from gr_bench.comparison import pages

    if markdown_file is not None:
        text = pages.markdown(comparison).encode()
        write_whole(markdown_file, lambda file: file.write(text))
    pages.show(comparison)
    pages.publish(comparison)
    if comparison.regressed:
        raise click.exceptions.Exit(FAILED)
    if comparison.undecided and (git_bisect or fail_undecided):
        raise click.exceptions.Exit(CANNOT_TELL if git_bisect else UNDECIDED)


@app.command(
    short_help="Find the commit that made a step slower or larger.",
    epilog=_examples(
        "bisect v1.0 main --call bench.py:prepare_step",
        "bisect HEAD~50 HEAD --suite my.toml --only '*f-gr*' --budget 1h",
        "bisect v1.0 main --call b.py:f --build 'make' --json out.json",
    ),
)
@click.argument("good")
@click.argument("bad")
@click.option(
    "--call",
    "calls",
    metavar="[NAME=]PLACE:FUNCTION",
    multiple=True,
    help="A function that prepares and returns a step, as for compare.",
)
@click.option(
    "--suite",
    show_default="compare",
    help="Suite whose step-cost cells are timed without --call: name or TOML file.",
)
@click.option("--only", metavar="GLOB", help="Only cells that match, as for run.")
@click.option("--device", show_default="cpu", help="Measure on cpu, cuda or cuda:N.")
@click.option("--threads", type=click.IntRange(1), default=1, help="Number of threads for calls.")
@click.option(
    "--threshold", metavar="SHARE", default="2%", help="The smallest difference that counts."
)
@click.option(
    "--budget",
    metavar="TIME",
    default="15m",
    help="Time limit, without building; it ends as soon as everything is known.",
)
@click.option(
    "--build",
    metavar="COMMAND",
    help="Command that builds each checkout, in its own environment on top of this one.",
)
@click.option(
    "--python",
    metavar="PATH",
    default=sys.executable,
    show_default="this",
    help="Interpreter that runs the commits.",
)
@click.option(
    "--json", "json_file", type=_PATH, metavar="FILE", help="Write all measurements to FILE."
)
def bisect(
    good: str,
    bad: str,
    calls: tuple[str, ...],
    suite: str | None,
    only: str | None,
    device: str | None,
    threads: int,
    threshold: str,
    budget: str,
    build: str | None,
    python: str,
    json_file: Path | None,
) -> None:
    """Find the commit that made a step slower or larger, by paired comparisons.

    GOOD and BAD are revisions of the current git repository. A merge is one commit: only first
    parents are followed. A commit that cannot be built or measured is skipped. The result is
    confirmed against its parent. FLOPs and peak memory are bisected before times.

    Exit codes: 0 the commit is named, or there is nothing to find; 3 it is not known.
    """
    from gr_bench.units import parse_duration, parse_share

    share, budget_s = parse_share(threshold), parse_duration(budget)
    from gr_bench.comparison.bisection import page
    from gr_bench.comparison.bisection.bisect import bisect as search
    from gr_bench.runs.budget_bar import BudgetBar

    with BudgetBar(budget_s) as progress:
        found = search(
            good,
            bad,
            calls=calls,
            suite=suite,
            only=only,
            device=device,
            threads=threads,
            threshold=share,
            budget_s=budget_s,
            build=build,
            python=python,
            json_file=json_file,
            progress=progress,
        )
    for line in page.lines(found):
        print(line)
    if found.interrupted:
        raise click.exceptions.Exit(INTERRUPTED)
    if not found.is_known:
        raise click.exceptions.Exit(UNDECIDED)


@app.command(
    short_help="Find changes in a series of stored runs, by commit.",
    epilog=_examples(
        "history runs/monday runs/tuesday runs/friday",
        "history nightly/* --out history --threshold 3%",
        "history nightly/* --json - | jq '.series[].changes[]'",
    ),
)
@click.argument("folders", type=_PATH, metavar="RUN...", nargs=-1, required=True)
@click.option("--out", type=_PATH, metavar="DIR", default="history", help="Folder of the page.")
@click.option(
    "--threshold",
    metavar="SHARE",
    default="2%",
    help="The smallest change of a time that counts.",
)
@click.option(
    "--json", "json_file", type=_PATH, metavar="FILE", help="Write all findings; -: print them."
)
@click.option(
    "--csv", "csv_file", type=_PATH, metavar="FILE", help="Write every value; -: print them."
)
def history(
    folders: tuple[Path, ...],
    out: Path,
    threshold: str,
    json_file: Path | None,
    csv_file: Path | None,
) -> None:
    """Find changes in a series of stored runs, by commit, and plot them.

    Significant steps and drifts of every cell's ratio to the baseline, and of its time in matrix
    products; exact changes of FLOPs and peak memory. Each change comes with its range of commits.
    """
    from gr_bench.files import check_writable
    from gr_bench.runs.about import read_about
    from gr_bench.units import parse_share

    share = parse_share(threshold)
    files = [file for file in (json_file, csv_file) if file is not None]
    for file in files:
        if str(file) != "-":
            check_writable(file)
    for folder in folders:
        read_about(folder)
    from gr_bench.comparison.history import plain
    from gr_bench.comparison.history.history import read_history
    from gr_bench.comparison.history.page import write_page
    from gr_bench.comparison.history.words import lines

    found = read_history(list(folders), share)
    if json_file is not None:
        _put(plain.as_json(found) + "\n", json_file)
    if csv_file is not None:
        _put(plain.table(found).to_csv(index=False), csv_file)
    told = sys.stderr if Path("-") in files else sys.stdout
    for line in [*lines(found), *map(str, write_page(found, out))]:
        print(line, file=told)


def _put(text: str, file: Path) -> None:
    """Write a text to a file, whole or not at all; to standard output for ``-``."""
    from gr_bench.files import write_whole

    if str(file) == "-":
        sys.stdout.write(text)
    else:
        write_whole(file, lambda opened: opened.write(text.encode()))


@app.command(
    short_help="Estimate the cost of a suite without running it.",
    epilog=_examples(
        "plan paper-cost",
        "plan paper-cost --only '*wrn*' --device-memory 24GB",
        "plan my.toml --set generalization.epochs=100 --rates runs/pilot",
        "plan paper-generalization --json | jq .total_s",
        "plan paper-generalization --nodes 8",
    ),
)
@click.argument("suite")
@click.option(
    "--set", "settings", metavar="KEY=VALUE", multiple=True, help="Change a setting, as for run."
)
@click.option("--only", metavar="GLOB", help="Only cells that match, as for run.")
@click.option(
    "--device-memory",
    metavar="SIZE",
    help="Available memory, such as 24GB or 24GiB.",
    show_default="common GPUs', or this host's",
)
@click.option(
    "--rates",
    "rates_of",
    type=_PATH,
    metavar="RUN",
    help="Predict times from this run's measured steps.",
    show_default="for CPUs a few steps timed here, for GPUs assumed",
)
@click.option(
    "--nodes",
    type=click.IntRange(min=1),
    metavar="N",
    help="Also estimate the time on N nodes: machines like this one, or GPUs.",
)
@click.option("--no-plugins", is_flag=True, help="Refuse code that is not installed.")
@click.option("--json", "as_json", is_flag=True, help='Print {"cells": [...], "total_s": ...}.')
def plan(
    suite: str,
    settings: tuple[str, ...],
    only: str | None,
    device_memory: str | None,
    rates_of: Path | None,
    nodes: int | None,
    no_plugins: bool,
    as_json: bool,
) -> None:
    """Estimate the cost of SUITE without running it and without a GPU.

    For every cell: FLOPs, peak memory, the devices that it fits on, and the time with a 90 %
    interval. For the suite: the time, and the savings from leaving something out. Steps are taken
    on tensors without data. Quantities that cannot be predicted are reported as not known.
    """
    from gr_bench.planning.capacity import parse_bytes
    from gr_bench.runs.about import read_about
    from gr_bench.runs.suite import load_suite

    memory = None if device_memory is None else (device_memory, parse_bytes(device_memory))
    if rates_of is not None:
        read_about(rates_of)
    chosen = load_suite(suite, settings=settings, only=only, no_plugins=no_plugins)
    from gr_bench.planning import page
    from gr_bench.planning.command import make_plan
    from gr_bench.runs.calibrate_generalization import seeds_note

    made = make_plan(chosen, rates_of, memory, nodes)
    for line in [page.as_json(made)] if as_json else page.lines(made):
        print(line)
    if not as_json and (note := seeds_note(chosen)):
        print(textwrap.fill(note, page.WIDTH, break_on_hyphens=False))


@app.command(
    short_help="Write tables and figures of a run, or put several side by side.",
    epilog=_examples(
        "report runs/quick",
        "report runs/quick --format md",
        "report runs/quick --style slides",
        "report runs/quick --latex",
        "report runs/laptop runs/server --out laptop-and-server",
    ),
)
@click.argument("folders", type=_PATH, metavar="RUN...", nargs=-1, required=True)
@click.option(
    "--out",
    type=_PATH,
    metavar="DIR",
    help="Where it goes.",
    show_default="RUN/report; of several runs side-by-side",
)
@click.option(
    "--format",
    "formats",
    metavar="html,md",
    default=",".join(FORMATS),
    help="Formats, separated by commas.",
)
@click.option(
    "--style",
    metavar="screen|paper|slides",
    default=STYLES[0],
    help="Also draw figures in this style; paper has column width and PDFs with embedded fonts.",
)
@click.option(
    "--latex",
    is_flag=True,
    help="Also write tables, figures, a methods paragraph and BibTeX for a paper.",
)
def report(
    folders: tuple[Path, ...], out: Path | None, formats: str, style: str, latex: bool
) -> None:
    """Write tables and figures of the results so far; RUN is a run's folder.

    Several runs, of other machines, versions or suites, become the columns of one page. The page
    does not judge their differences: gr-bench compare does, for two runs.
    """
    if style not in STYLES:
        raise unknown("style", style, STYLES)
    wanted = formats.split(",")
    for text in wanted:
        if text not in FORMATS:
            raise unknown("format", text, FORMATS)
    _draw(folders, wanted, out, style, latex)


def _draw(
    folders: Sequence[Path],
    formats: Sequence[str] = FORMATS,
    out: Path | None = None,
    style: str = STYLES[0],
    latex: bool = False,
) -> None:
    """Write the report of runs, showing how that gets on, and print the pages' paths."""
    from gr_bench.runs.about import read_about

    for folder in folders:
        read_about(folder)
    import gr_bench

    with _drawing() as drawn:
        pages = gr_bench.report(folders, formats, out=out, style=style, latex=latex, progress=drawn)
    for page in pages:
        print(page)


@contextmanager
def _drawing() -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, and the function that is told how many things of how many are drawn."""
    from rich.progress import Progress

    console = _console()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as display:
        task = display.add_task("reading the runs", total=None)

        def drawn(done: int, total: int) -> None:
            display.update(task, description="drawing", completed=done, total=total)

        yield drawn


@app.command(
    short_help="Write a static site of many runs.",
    epilog=_examples("site runs/*", "site nightly/* results/quick --out public"),
)
@click.argument("folders", type=_PATH, metavar="RUN...", nargs=-1, required=True)
@click.option("--out", type=_PATH, metavar="DIR", default="site", help="Where it goes.")
def site(folders: tuple[Path, ...], out: Path) -> None:
    """Write a static site of RUNs: an index with filters, a page a run, suites' histories.

    Any web server can have it, and a browser opens it from the disk. Given again, only runs that
    changed are drawn anew, and those that are not named any more are taken out. Exit code 1 if
    something could not be drawn.
    """
    from gr_bench.runs.about import read_about

    for folder in folders:
        read_about(folder)
    from gr_bench.reports.site import write_site

    with _drawing() as drawn:
        written = write_site(folders, out, drawn)
    for note in written.notes:
        print(f"Note: {printable(note)}", file=sys.stderr)
    print(f"{written.written} of {len(folders)} runs drawn anew", file=sys.stderr)
    print(written.index)
    if written.notes:
        raise click.exceptions.Exit(FAILED)


@app.command(
    short_help="Judge the claims of papers, and answer common questions, from runs.",
    epilog=_examples(
        "run claims-quick && gr-bench claims",
        "claims runs/claims-cpu",
        "claims runs/claims-cpu runs/claims-gpu --out runs/both",
        "claims --json | jq '.claims[] | .name, .verdict'",
    ),
)
@click.argument("folders", type=_PATH, metavar="[RUN]...", nargs=-1)
@click.option(
    "--out",
    type=_PATH,
    metavar="DIR",
    help="Folder of the pages.",
    show_default="RUN/claims; for several runs, runs/claims",
)
@click.option("--json", "as_json", is_flag=True, help='Print {"runs": [...], "claims": [...]}.')
def claims(folders: tuple[Path, ...], out: Path | None, as_json: bool) -> None:
    """Judge the claims of papers, and answer common questions, from the records of runs.

    RUN is a run's folder, by default runs/claims-quick. Several runs, from one machine or many, are
    judged separately and together; a ratio is always taken within one run. A verdict names the
    models, data and devices for which it was reached, and whether they are the paper's setting.
    """
    from gr_bench.runs.about import read_about

    chosen = list(folders) or [Path("runs/claims-quick")]
    if not folders and not chosen[0].exists():
        raise RequestError(f"{chosen[0]} does not exist; create it by gr-bench run claims-quick")
    for folder in chosen:
        read_about(folder)
    from gr_bench.claims import page

    runs = page.judge_runs(chosen)
    several = Path("runs") / page.FOLDER
    pages = page.write_page(out or (several if len(runs) > 1 else chosen[0] / page.FOLDER), runs)
    if as_json:
        print(page.as_json(runs))
        return
    for line in [*page.lines(runs), "", *map(str, pages)]:
        print(line)


@app.command(
    short_help="Merge runs of one suite from several machines.",
    epilog=_examples(
        "run cpu --only 'step_cost*' --out a",
        "run cpu --only 'gen*' --out b",
        "merge a b --out whole",
    ),
)
@click.argument("folders", type=_PATH, metavar="RUN RUN...", nargs=-1, required=True)
@click.option("--out", type=_PATH, metavar="DIR", required=True, help="The folder to make.")
def merge(folders: tuple[Path, ...], out: Path) -> None:
    """Merge runs of one suite, each of which may have measured a part of it (run --only).

    Every record keeps its original run. A ratio is always of times from one process. Step times of
    one cell from several runs are replicates if the conditions were the same; other results of one
    cell must be equal.
    """
    from gr_bench.runs.merge import merge as put_together

    found = put_together(folders, out)
    for name, count in found.records.items():
        print(f"{count:>7} records from {printable(name)}")
    if found.replicated:
        print(f"{found.replicated:>7} cells with replicates from several runs")
    if found.alike:
        print(f"{found.alike:>7} equal results of two runs, kept once")
    print(f"next: gr-bench report {out}")


@app.command(
    short_help="Set aside damaged lines of a run's journal.",
    epilog=_examples("repair runs/quick", "repair runs/quick && gr-bench run quick"),
)
@click.argument("folder", type=_PATH, metavar="RUN")
def repair(folder: Path) -> None:
    """Set aside the lines of a run's journal that cannot be read; RUN is its folder.

    They are moved to damaged-lines.txt, byte for byte. Running the suite again measures them anew.
    """
    from gr_bench.runs.repair import DAMAGED
    from gr_bench.runs.repair import repair as set_aside

    found = set_aside(folder)
    for number, why in found.damaged.items():
        print(f"line {number}: {printable(why)}")
    if not found.damaged:
        print(f"{found.journal}: nothing to repair, {found.kept} lines can be read")
        return
    print(f"{found.journal}: {found.kept} lines kept, {len(found.damaged)} set aside")
    print(folder / DAMAGED)


def main() -> None:
    """Run the command line; whatever is wrong with a request ends in one line and exit code 2."""
    # A suite may name a class in a module of the folder that it is run from, as for ``python -m``.
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, "")
    os.environ.setdefault("MPLBACKEND", "Agg")  # figures are written, not shown
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # it asks every package for them
    sys.exit(_guarded(lambda: app(standalone_mode=False)))


def _guarded(command: Callable[[], Any]) -> int:
    try:
        code = command()
    except RequestError as error:
        return _wrong(str(error))
    except click.ClickException as error:
        return _wrong(error.format_message())
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _wrong(f"{place}{error.strerror or error}")
    return code if isinstance(code, int) else OK


def _end_unread() -> NoReturn:
    """End as other programs do whose output nobody reads any more (``| head``).

    Not by leaving the signal at its default from the beginning: then a write to a worker that has
    died would end the program, too, and nothing would be tidied up.
    """
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.raise_signal(signal.SIGPIPE)
    raise click.exceptions.Exit(FAILED)


def _wrong(message: str) -> int:
    print(f"gr-bench: {printable(message)}", file=sys.stderr)
    return WRONG_REQUEST
