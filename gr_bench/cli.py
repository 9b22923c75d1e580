"""The command line. What a command needs is imported when it runs, so that ``--help`` is quick."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from gr_bench.errors import RequestError, unknown
from gr_bench.version import __version__

OK, FAILED, WRONG_REQUEST, INTERRUPTED = 0, 1, 2, 130

app = typer.Typer(
    name="gr-bench",
    help="""What gradient regularization costs, what it gains, and which solution it picks.

    Exit codes: 0 done; 1 done, and something failed; 2 the request was wrong; 130 interrupted, with
    everything measured until then kept.""",
    epilog="""Examples: [bold]gr-bench run quick[/] · [bold]gr-bench run quick --only '*f-gr*'[/] ·
    [bold]gr-bench report runs/quick[/] · [bold]gr-bench list methods[/]""",
    invoke_without_command=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Format(StrEnum):
    """The formats of a report."""

    html = "html"
    md = "md"


def _version(wanted: bool) -> None:
    if wanted:
        print(f"gr-bench {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command(
    "list",
    epilog="Examples: [bold]gr-bench list[/] · [bold]gr-bench list models[/]",
)
def list_(
    kind: Annotated[
        str | None,
        typer.Argument(help="One of methods, models, datasets, experiments, suites; or all."),
    ] = None,
) -> None:
    """List what there is to measure, by the names that suites use."""
    from gr_bench.runs import listing

    if kind is not None and kind not in listing.KINDS:
        raise unknown("list of", kind, listing.KINDS)
    for each in [kind] if kind else listing.KINDS:
        if kind is None:
            print(f"{each}:")
        for name, about in listing.KINDS[each]():
            print(f"  {name:<18} {about}".rstrip() if kind is None else f"{name}\t{about}".rstrip())


@app.command(
    epilog="""Examples: [bold]gr-bench run quick[/] ·
    [bold]gr-bench run my.toml --out runs/mine[/] ·
    [bold]gr-bench run quick --budget 10m --report[/] ·
    [bold]gr-bench run cpu --only 'step_cost*resnet*' --dry-run[/] ·
    [bold]gr-bench run quick --set generalization.epochs=5 --set step_cost.batch_sizes=[64][/]""",
)
def run(
    suite: Annotated[str, typer.Argument(help="A shipped suite's name, or a TOML file's path.")],
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a setting: experiment.key=value for all grids of an experiment.",
        ),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(metavar="GLOB", help="Only cells that match, as --dry-run prints them."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The run's folder.", show_default="runs/SUITE"),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Measure on cpu, cuda or cuda:N.", show_default="the suite's")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="The time that it may take, as 90s, 5m or 1h; given more, a run goes on.",
            show_default="the suite's",
        ),
    ] = None,
    draw: Annotated[
        bool,
        typer.Option(
            "--report", help="Draw the report: a first page soon, redrawn as more is known."
        ),
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Put earlier results in the folder aside; start over.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the cells and measure nothing.")
    ] = False,
) -> None:
    """Measure a suite, or go on with a run that was interrupted."""
    from gr_bench.runs.shipped import read_suite
    from gr_bench.units import parse_duration

    _, name = read_suite(suite)
    budget_s = None if budget is None else parse_duration(budget)
    if dry_run:
        from gr_bench.runs.suite import load_suite

        for cell in load_suite(suite, settings=settings or (), only=only, device=device).cells:
            print(cell)
        return
    import gr_bench
    from gr_bench.reports.live import LiveReport
    from gr_bench.runs.progress import Display
    from gr_bench.runs.words import last_words

    folder = out or Path("runs") / name
    console = _console()
    live = LiveReport(folder, _teller(console)) if draw else None
    try:
        with Display(console, *([live] if live else [])) as display:
            results = gr_bench.run(
                suite,
                folder,
                settings=settings or (),
                only=only,
                device=device,
                budget=budget_s,
                fresh=fresh,
                watcher=display,
            )
    except KeyboardInterrupt:
        again = shlex.join(argument for argument in sys.argv[1:] if argument != "--fresh")
        console.print(f"interrupted; to go on: gr-bench {again}", markup=False, soft_wrap=True)
        raise typer.Exit(INTERRUPTED) from None
    finally:
        if live:
            live.stop()
    for line in last_words(results):
        _teller(console)(line)
    if draw:
        _draw(folder, list(Format))
    else:
        console.print(f"next: gr-bench report {folder}", markup=False, soft_wrap=True)
        print(folder)
    assert results.outcome is not None
    if results.outcome.failed:
        raise typer.Exit(FAILED)


def _teller(console: Any) -> Callable[[str], None]:
    """A function that prints a line on a console, as it is."""
    return lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True)


def _console() -> Any:
    from rich.console import Console

    return Console(stderr=True)


@app.command(
    epilog="""Examples: [bold]gr-bench calibrate[/] · [bold]gr-bench calibrate --budget 10m[/]""",
)
def calibrate(
    budget: Annotated[
        str, typer.Option(metavar="TIME", help="About how long to take, as 90s, 2m or 1h.")
    ] = "2m",
    out: Annotated[Path, typer.Option(metavar="DIR", help="The run's folder.")] = Path(
        "runs/calibrate"
    ),
) -> None:
    """Measure this machine's noise: equal things timed as if they were different."""
    from gr_bench.units import parse_duration

    budget_s = parse_duration(budget)
    from gr_bench.runs.calibrate import calibrate as measure_noise
    from gr_bench.runs.progress import Display

    with Display(_console()) as display:
        lines = measure_noise(budget_s, out, display)
    for line in lines:
        print(line)


@app.command(
    epilog="""Examples: [bold]gr-bench compare git:main git:HEAD[/] ·
    [bold]gr-bench compare git:HEAD git:WORKTREE --budget 2m[/] ·
    [bold]gr-bench compare git:main...HEAD git:HEAD --markdown comment.md[/] ·
    [bold]gr-bench compare git:HEAD git:HEAD --head-python other-env/bin/python[/] ·
    [bold]gr-bench compare runs/monday runs/friday[/]""",
)
def compare(
    base: Annotated[str, typer.Argument(help="git:REVISION, or a run's folder.")],
    head: Annotated[str, typer.Argument(help="The same sort of thing, to be judged against BASE.")],
    suite: Annotated[
        str,
        typer.Option(help="Whose step-cost cells revisions are measured by: name or TOML file."),
    ] = "compare",
    only: Annotated[
        str | None, typer.Option(metavar="GLOB", help="Only cells that match, as for run.")
    ] = None,
    threshold: Annotated[
        str,
        typer.Option(
            metavar="SHARE",
            help="The smallest difference that counts: slower is a ratio beyond it whose interval "
            "leaves 1 out, same an interval within it. More FLOPs or peak memory count from here, "
            "too.",
        ),
    ] = "2%",
    budget: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="How long comparing revisions may take, as 90s, 2m or 1h; at least three pairs.",
        ),
    ] = "5m",
    base_python: Annotated[
        str, typer.Option(metavar="PATH", help="Interpreter that runs BASE.", show_default="this")
    ] = sys.executable,
    head_python: Annotated[
        str, typer.Option(metavar="PATH", help="Interpreter that runs HEAD.", show_default="this")
    ] = sys.executable,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write everything measured there.")
    ] = None,
    markdown_file: Annotated[
        Path | None,
        typer.Option("--markdown", metavar="FILE", help="Write a pull request's comment there."),
    ] = None,
) -> None:
    """Tell whether HEAD is slower or larger than BASE: exit code 1 if by more than the threshold.

    Two revisions of the git repository here are checked out beside each other and step in
    alternation, in pairs of fresh processes. git:WORKTREE is the working tree with its changes,
    git:A...B is where A and B parted.
    Two runs are compared by what they have stored.
    """
    from gr_bench.units import parse_duration, parse_share

    share, budget_s = parse_share(threshold), parse_duration(budget)
    import gr_bench
    from gr_bench.comparison import pages
    from gr_bench.comparison.compare import check_writable
    from gr_bench.files import write_whole
    from gr_bench.runs.progress import budget_bar

    if markdown_file is not None:
        check_writable(markdown_file)
    with budget_bar(_console(), budget_s) as progress:
        comparison = gr_bench.compare(
            base,
            head,
            suite=suite,
            only=only,
            threshold=share,
            budget=budget_s,
            base_python=base_python,
            head_python=head_python,
            json_file=json_file,
            progress=progress,
        )
    if markdown_file is not None:
        text = pages.markdown(comparison).encode()
        write_whole(markdown_file, lambda file: file.write(text))
    pages.show(comparison)
    if comparison.regressed:
        raise typer.Exit(FAILED)


@app.command(
    epilog="""Examples: [bold]gr-bench history runs/monday runs/tuesday runs/friday[/] ·
    [bold]gr-bench history nightly/* --out history --threshold 3%[/]""",
)
def history(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Runs' folders.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the page goes.")] = Path(
        "history"
    ),
    threshold: Annotated[
        str, typer.Option(metavar="SHARE", help="The smallest change of a time that counts.")
    ] = "2%",
) -> None:
    """Draw step cost over stored runs, commit by commit, with change points marked."""
    from gr_bench.units import parse_share

    share = parse_share(threshold)
    from gr_bench.comparison.history import write_history

    for path in write_history(folders, out, share):
        print(path)


@app.command(
    epilog="""Examples: [bold]gr-bench report runs/quick[/] ·
    [bold]gr-bench report runs/quick --format md[/]""",
)
def report(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    formats: Annotated[
        str, typer.Option("--format", metavar="html,md", help="What to write, by commas.")
    ] = "html,md",
) -> None:
    """Make tables and figures from what a run has so far."""
    wanted = []
    for text in formats.split(","):
        if text not in list(Format):
            raise unknown("format", text, map(str, Format))
        wanted.append(Format(text))
    _draw(folder, wanted)


def _draw(folder: Path, formats: Sequence[str]) -> None:
    """Write a run's report, showing how that gets on, and print the pages' paths."""
    from rich.progress import Progress

    from gr_bench.reports.page import write_report

    console = _console()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as display:
        task = display.add_task("reading the run", total=None)

        def drawn(done: int, total: int) -> None:
            display.update(task, description="drawing figures", completed=done, total=total)

        pages = write_report(folder, formats, drawn)
    for page in pages:
        print(page)


@app.command(
    epilog="""Examples: [bold]gr-bench run claims-quick && gr-bench claims[/] ·
    [bold]gr-bench claims runs/claims-cpu[/]""",
)
def claims(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")] = Path(
        "runs/claims-quick"
    ),
) -> None:
    """Set the paper's claims beside what a run says of each."""
    from rich.console import Console
    from rich.table import Table

    from gr_bench.claims.page import judge_run, write_page

    if not folder.exists() and folder == Path("runs/claims-quick"):
        raise RequestError(f"{folder} is not there: gr-bench run claims-quick makes it")
    judged = judge_run(folder)
    pages = write_page(folder, judged)
    table = Table("claim", "measured here", "verdict", show_lines=True)
    for one in judged:
        table.add_row(one.claim.words, one.measured, one.in_short)
    Console().print(table, markup=False)
    for page in pages:
        print(page)


def main() -> None:
    """Run the command line; whatever is wrong with a request ends in one line and exit code 2."""
    # A suite may name a class in a module of the folder that it is run from, as for ``python -m``.
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, "")
    sys.exit(_guarded(lambda: app(standalone_mode=False)))


def _guarded(command: Callable[[], Any]) -> int:
    usage_error: Any = typer.BadParameter.__base__
    try:
        code = command()
        sys.stdout.flush()
    except RequestError as error:
        return _wrong(str(error))
    except usage_error as error:
        return _wrong(error.format_message())
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        return _unread()
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # typer and rich would end with 1
            return _unread()
        raise
    except OSError as error:
        return _wrong(f"{error.filename or 'file'}: {error.strerror or error}")
    return code if isinstance(code, int) else OK


def _unread() -> int:
    """End as other programs do whose output nobody reads any more (``| head``).

    Not by leaving the signal at its default from the beginning: then a write to a worker that has
    died would end the program, too, and nothing would be tidied up.
    """
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.raise_signal(signal.SIGPIPE)
    return FAILED


def _wrong(message: str) -> int:
    print(f"gr-bench: {' '.join(message.split())}", file=sys.stderr)
    return WRONG_REQUEST
