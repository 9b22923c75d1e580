"""Faults injected into small runs, and a count of what came of them.

    python -m benchmarks.faults OUT [--only PART ...] [--times N] [--page docs/faults.md]

Every part makes rows: the fault, the way it was injected, how often, and of the cells that the
suite asked for: *lost*, those that have neither a result nor a failure at the end; *twice*, those
with more than one result or failure in the tables, or one replicate more than once; *hidden*, those
that had a fault and are not told as failed, or have a result that is not the unbroken run's. All of
these must be 0.

- *blocks*, *units*: a method that breaks down in its first step or a later one, among others that
  do not (``benchmarks.faulty``), in blocks of step times and in units of trainings;
- *kills*: SIGKILL of a whole run at random moments; the same command is then given again;
- *cuts*: a journal cut off at a random byte; *flips*: one random byte of a journal changed;
- *disk*: a file that cannot grow, a full file system where one can be mounted, no permission;
- *soak*: 500 tiny trainings, a twentieth of them with a fault.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
from tabulate import tabulate

from benchmarks.answers import read_answers, write_answers
from benchmarks.faulty import FAULTS, HARMLESS, NONE
from gr_bench.errors import RequestError
from gr_bench.experiments.record import Failure, Record
from gr_bench.files import write_whole
from gr_bench.runs.executor import Event, LocalExecutor
from gr_bench.runs.repair import repair
from gr_bench.runs.results import Results
from gr_bench.runs.runner import Unwatched, run_suite
from gr_bench.runs.store import JOURNAL, current, latest, open_store, read_journal
from gr_bench.runs.suite import Suite, build_suite
from gr_bench.units import duration

ROOT = Path(__file__).resolve().parents[1]
FAULTY = "benchmarks.faulty:Faulty"
TIMEOUT_MINUTES = 0.25
MEMORY_LIMIT = "1500MiB"
STEPS = {"first": 1, "later": 12}
"""The steps of faults; the later one is behind the check and the counters of a block."""

TINY = {"models": ["mlp(depth=1)"], "datasets": ["random(shape=(2,), samples=64)"]}
KILLS, BYTES, SOAK = 30, 200, 500


@dataclass
class Row:
    """One fault and what came of it."""

    part: str
    fault: str
    injected: str
    times: int
    lost: int = 0
    twice: int = 0
    hidden: int = 0
    outcome: dict[str, int] = field(default_factory=dict)
    """The things that were seen, in words, and how often."""


@dataclass
class Found:
    """The rows of a part, and what else it has measured."""

    rows: list[Row]
    measured: dict[str, Any] = field(default_factory=dict)


class Clock:
    """A line on standard error for every step of the work, with the time that is left."""

    def __init__(self, part: str) -> None:
        self._part = part
        self._begin = time.monotonic()

    def tell(self, done: int, of: int, what: str = "") -> None:
        """So many are done."""
        spent_s = time.monotonic() - self._begin
        left = f"about {duration(spent_s / done * (of - done))} left" if done else "begins"
        print(f"{self._part}: {done}/{of} · {left} · {what}", file=sys.stderr, flush=True)


class Sampler(Unwatched):
    """The coordinator's memory, handles and zombies after so many events."""

    def __init__(self, clock: Clock, cells: int) -> None:
        self.samples: list[dict[str, int]] = []
        self._clock = clock
        self._cells = cells
        self._seen: set[str] = set()

    def event(self, event: Event) -> None:
        """Look at this process, every fifty cells."""
        before = len(self._seen)
        result = getattr(event, "result", None)
        if isinstance(result, Record):
            self._seen.add(result.cell.id)
        self._seen.update(cell.id for cell in getattr(event, "culprits", ()))
        if len(self._seen) // 50 > before // 50:
            self.samples.append({"cells": len(self._seen), **own_state()})
            self._clock.tell(len(self._seen), self._cells)


def own_state() -> dict[str, int]:
    """Resident bytes, open handles, threads and zombies of this process."""
    gc.collect()
    own = psutil.Process()
    zombies = 0
    for child in own.children():
        with suppress(psutil.NoSuchProcess):
            zombies += child.status() == psutil.STATUS_ZOMBIE
    return {
        "rss_bytes": own.memory_info().rss,
        "handles": own.num_fds(),
        "threads": own.num_threads(),
        "zombies": zombies,
    }


# --- methods that break down


def breaking(experiment: str, step: str, home: Path, only: Sequence[str] | None = None) -> Suite:
    """A suite in which every fault happens once beside methods that have none."""
    at = STEPS[step]
    methods = [
        f"{FAULTY}(fault={fault!r}, at={at}, number={number}, folder={str(home)!r})"
        for number, fault in enumerate(FAULTS)
        if only is None or fault in only
    ]
    grid: dict[str, Any] = {**TINY, "methods": ["sgd", *methods, "sam"], "batch_sizes": [8]}
    if experiment == "step_cost":
        grid |= {
            **{"replicates": 2, "most_replicates": 2},
            **{"seconds_per_block": 0.02, "least_rounds": 3},
        }
    else:
        grid |= {"epochs": 3, "seeds": [0]}
    return build_suite(
        "faults",
        {
            "title": "Faults",
            "timeout_minutes": TIMEOUT_MINUTES,
            "memory_limit": MEMORY_LIMIT,
            experiment: [grid],
        },
    )


def fault_of(spec: str) -> str:
    """The fault in a method's spec; ``none`` if it has none."""
    return next((fault for fault in FAULTS if f"'{fault}'" in spec), NONE)


def run_here(suite: Suite, folder: Path, watcher: Unwatched | None = None, workers: int = 1) -> int:
    """Run a suite in this process.

    Returns:
        Cells that failed.
    """
    made = run_suite(
        suite,
        folder,
        lambda own: LocalExecutor(own, workers=workers),
        watcher or Unwatched(),
    )
    return made.failed


def accounts(suite: Suite, folder: Path, experiment: str) -> dict[str, Row]:
    """The rows of a run, one for every fault that its cells had."""
    results = Results(folder)
    records = read_journal(folder)
    kept = latest(current(records, {}))
    table = getattr(results, experiment)
    rows: dict[str, Row] = {}
    for cell in suite.cells:
        fault = fault_of(cell.spec)
        row = rows.setdefault(fault, Row("", fault, "", 0))
        row.times += 1
        own = [r for r in kept if r.cell.id == cell.id]
        failed = [r for r in own if isinstance(r, Failure)]
        given = [r for r in own if r.kind in ("training", "times")]
        replicates = Counter(getattr(r, "replicate", None) for r in given)
        control = getattr(cell, "role", "") == "control"
        shown = table[table["spec"] == cell.spec]
        if "batch_size" in shown:
            shown = shown[shown["batch_size"] == cell.batch_size]
        should_fail = fault not in (NONE, *HARMLESS)
        row.lost += not failed and not given
        row.twice += len(failed) > 1 or max(replicates.values(), default=0) > 1
        row.twice += len(shown) > 1 and not control and experiment == "generalization"
        if should_fail:
            row.hidden += not failed or "ok" in set(shown["status"])
        else:
            row.lost += bool(failed)
        for record in failed:
            row.outcome[record.reason] = row.outcome.get(record.reason, 0) + 1
        earlier = [r for r in records if r.cell.id == cell.id and isinstance(r, Failure)]
        for what, is_so in {
            "tried once more": sum(r.killed for r in earlier) > 1,
            "failed in the counters before": any(r.lacks for r in earlier),
        }.items():
            if is_so:
                row.outcome[what] = row.outcome.get(what, 0) + 1
        if not failed and given:
            row.outcome["measured"] = row.outcome.get("measured", 0) + 1
    return rows


def left_behind(home: Path) -> int:
    """Processes that still run of those that were left behind."""
    still = 0
    for file in home.glob("left-*"):
        with suppress(psutil.NoSuchProcess):
            child = psutil.Process(int(file.name.partition("-")[2]))
            still += child.status() != psutil.STATUS_ZOMBIE
    return still


def break_down(part: str, home: Path, times: int | None) -> Found:
    """Rows for every fault, in its first step and in a later one."""
    experiment = {"blocks": "step_cost", "units": "generalization"}[part]
    rows = []
    clock = Clock(part)
    left = 0
    for done, step in enumerate(STEPS):
        clock.tell(done, len(STEPS), f"{step} step")
        suite = breaking(experiment, step, home)
        folder = home / f"{part}-{step}"
        run_here(suite, folder)
        left += (still := left_behind(home))
        for row in accounts(suite, folder, experiment).values():
            injected = f"step {STEPS[step]} of a method" if row.fault != NONE else "nothing"
            name = "none: the others of the run" if row.fault == NONE else row.fault
            if row.fault == "leaves children":
                row.outcome["children still there"] = still
            rows.append(replace(row, part=part, fault=name, injected=injected))
    clock.tell(len(STEPS), len(STEPS))
    return Found(rows, {"children_left": left})


# --- the whole run


RUN = """
title = "Broken"
[[generalization]]
methods = ["sgd", "sam", "f-gr"]
models = ["mlp(depth=2, width=16)"]
datasets = ["digits"]
batch_sizes = [32]
epochs = 12
seeds = [0, 1, 2]
checkpoint_seconds = 0.0
"""


def plain(record: Record) -> str:
    """A record's numbers, without what differs from one execution to the next."""
    data = asdict(replace(record, conditions=None))
    data.pop("training_s", None)
    return json.dumps(data, sort_keys=True)


def by_cell(folder: Path) -> dict[str, list[str]]:
    """The plain records of a run, by cell, without failures that were followed by a result."""
    found: dict[str, list[str]] = {}
    for record in latest(read_journal(folder)):
        found.setdefault(record.cell.id, []).append(plain(record))
    return found


def command(*arguments: object) -> list[str]:
    """The command line that runs gr-bench."""
    return [sys.executable, "-m", "gr_bench", *map(str, arguments)]


def finish(file: Path, folder: Path) -> float:
    """Run a suite to its end, and return the seconds.

    Raises:
        RuntimeError: it did not end well.
    """
    begin = time.monotonic()
    arguments = ("run", file, "--out", folder)
    ended = subprocess.run(command(*arguments), capture_output=True, text=True)
    if ended.returncode:
        raise RuntimeError(f"{file} ended with {ended.returncode}: {ended.stderr}")
    return time.monotonic() - begin


def unbroken_run(home: Path, trainer: str = "loop") -> tuple[Path, Path, float]:
    """A suite, its unbroken run, and the seconds that this took.

    A fleet of the runs that are missing, without its checkpoint, is another one, whose last digits
    are others: what is cut off is trained run by run.
    """
    file, folder = home / f"{trainer}.toml", home / f"unbroken-{trainer}"
    told = home / f"{trainer}-seconds"
    if not file.exists():
        file.write_text(f'{RUN}trainer = "{trainer}"\n')
        told.write_text(str(finish(file, folder)))
    return file, folder, float(told.read_text())


def kill_once(file: Path, folder: Path, moment_s: float) -> str:
    """Start a run, kill it after so many seconds, and have it go on to its end.

    Returns:
        In words, what it had by then.
    """
    arguments = ("run", file, "--out", folder)
    run = subprocess.Popen(
        command(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    with suppress(subprocess.TimeoutExpired):
        run.wait(timeout=moment_s)
    run.send_signal(signal.SIGKILL)
    code = run.wait()
    journal = folder / JOURNAL
    lines = journal.read_bytes().count(b"\n") if journal.exists() else 0
    had = "killed with a checkpoint" if list(folder.glob("unfinished/*/*.pt")) else "killed"
    if lines and code:
        had += ", some results"
    finish(file, folder)
    return had if code else "ended before its kill"


def kills(part: str, home: Path, times: int | None) -> Found:
    """Kill whole runs, two at a time, and hold the results to the unbroken run's."""
    count = times or KILLS
    clock = Clock(part)
    clock.tell(0, count, "the unbroken run")
    file, unbroken, seconds = unbroken_run(home, "fleet")
    wanted = by_cell(unbroken)
    draw = random.Random(1)
    moments = [draw.uniform(0.1, 1.1) * seconds for _ in range(count)]
    row = Row(part, "SIGKILL of the run", "at a random moment of it; fleets, checkpoints", count)
    outcome: Counter[str] = Counter()

    def one(number: int) -> tuple[str, dict[str, list[str]]]:
        folder = home / f"killed-{number}"
        had = kill_once(file, folder, moments[number])
        found = by_cell(folder)
        shutil.rmtree(folder)
        return had, found

    with ThreadPoolExecutor(2) as pool:
        for done, (had, found) in enumerate(pool.map(one, range(count)), start=1):
            outcome[had] += 1
            row.lost += len(wanted.keys() - found.keys())
            row.twice += sum(len(own) > 1 for own in found.values())
            row.hidden += sum(found[key][0] != wanted[key][0] for key in wanted if key in found)
            clock.tell(done, count, had)
    row.outcome = dict(outcome)
    return Found([row], {"unbroken_s": seconds, "moments_s": moments})


def small_copy(unbroken: Path, folder: Path, journal: bytes) -> None:
    """A run's folder with another journal."""
    folder.mkdir()
    about = json.loads((unbroken / "run.json").read_text())
    about.pop("tables", None)  # they are not copied
    (folder / "run.json").write_text(json.dumps(about))
    (folder / JOURNAL).write_bytes(journal)


def cuts(part: str, home: Path, times: int | None) -> Found:
    """Cut a journal off at random bytes; ten of the runs then go on, the others are read."""
    count = times or BYTES
    clock = Clock(part)
    clock.tell(0, count, "the unbroken run")
    file, unbroken, _ = unbroken_run(home)
    journal = (unbroken / JOURNAL).read_bytes()
    lines = journal.splitlines(keepends=True)
    records, wanted = read_journal(unbroken), by_cell(unbroken)
    draw = random.Random(2)
    row = Row(part, "journal cut off", "at a random byte", count)
    outcome: Counter[str] = Counter()
    every = max(1, count // 10)
    for done in range(1, count + 1):
        at = draw.randrange(len(journal))
        folder = home / f"cut-{done}"
        small_copy(unbroken, folder, journal[:at])
        whole = journal[:at].count(b"\n")
        read = read_journal(folder)
        row.lost += sum(one not in read for one in records[:whole])
        row.hidden += len(read) > whole
        if done % every:
            about = json.loads((folder / "run.json").read_text())
            with open_store(folder, about, fresh=False) as store:
                for record in records[len(store.records) :]:
                    store.append(record)
            row.hidden += (folder / JOURNAL).read_bytes() != b"".join(lines)
            outcome["read, mended, written on"] += 1
        else:
            finish(file, folder)
            found = by_cell(folder)
            row.lost += len(wanted.keys() - found.keys())
            row.twice += sum(len(own) > 1 for own in found.values())
            row.hidden += sum(found[key][0] != wanted[key][0] for key in wanted if key in found)
            outcome["run to its end"] += 1
            clock.tell(done, count)
        shutil.rmtree(folder)
    row.outcome = dict(outcome)
    return Found([row])


def flips(part: str, home: Path, times: int | None) -> Found:
    """Change a byte of a journal; it must be refused by its line, and repaired without loss."""
    count = times or BYTES
    clock = Clock(part)
    clock.tell(0, count, "the unbroken run")
    _, unbroken, _ = unbroken_run(home)
    journal = (unbroken / JOURNAL).read_bytes()
    records = read_journal(unbroken)
    draw = random.Random(3)
    row = Row(part, "a byte changed", "at a random place of the journal", count)
    outcome: Counter[str] = Counter()
    for done in range(1, count + 1):
        at, by = draw.randrange(len(journal)), draw.randrange(1, 256)
        folder = home / f"flip-{done}"
        small_copy(unbroken, folder, journal[:at] + bytes([journal[at] ^ by]) + journal[at + 1 :])
        number = journal[:at].count(b"\n") + 1
        last = at == len(journal) - 1
        try:
            read = read_journal(folder)
        except RequestError as error:
            outcome["refused with its line"] += f"line {number}," in str(error)
            row.hidden += f"line {number}," not in str(error)
        else:
            outcome["last line passed over"] += last
            row.hidden += not (last and len(read) == len(records) - 1)
        repair(folder)
        kept = read_journal(folder)
        touched = 2 if journal[at : at + 1] == b"\n" else 1
        row.lost += max(0, len(records) - touched - sum(one in kept for one in records))
        row.hidden += any(one not in records for one in kept)
        shutil.rmtree(folder)
    clock.tell(count, count)
    row.outcome = {key: value for key, value in outcome.items() if value}
    return Found([row])


# --- disks


CAPABILITIES = (1, 2)
"""``CAP_DAC_OVERRIDE`` and ``CAP_DAC_READ_SEARCH``, by which root is above permissions."""


def obey() -> None:
    """Have the program that this process becomes obey permissions, even root's."""
    drop_from_bounding_set = 24
    if os.geteuid() == 0 and sys.platform == "linux":
        for capability in CAPABILITIES:
            ctypes.CDLL(None).prctl(drop_from_bounding_set, capability, 0, 0, 0)


def told(ended: subprocess.CompletedProcess[str]) -> str:
    """The end of a command in words: one line and exit code 2 are as they should be."""
    if ended.returncode == 2 and "Traceback" not in ended.stderr:
        return "one line and exit code 2"
    return f"exit code {ended.returncode}"


def full(file: Path, folder: Path, limit: int | None) -> tuple[str, list[Record]]:
    """Run a suite where the disk is full on its way, or no file can grow beyond a limit."""

    def narrow() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    ended = subprocess.run(
        command("run", file, "--out", folder),
        capture_output=True,
        text=True,
        preexec_fn=narrow,
    )
    return told(ended), read_journal(folder)


def disk(part: str, home: Path, times: int | None) -> Found:
    """Disks that are full or may not be written to; the run goes on when that is over."""
    count = min(times or 3, 3)
    clock = Clock(part)
    clock.tell(0, 2 * count + 1, "the unbroken run")
    file, unbroken, _ = unbroken_run(home)
    wanted = by_cell(unbroken)
    size = (unbroken / JOURNAL).stat().st_size
    found = Found([])
    for name in ("no file can grow", "full file system"):
        row = Row(part, name, "", count)
        row.injected = "RLIMIT_FSIZE" if name == "no file can grow" else "a tmpfs"
        outcome: Counter[str] = Counter()
        for number in range(count):
            folder = home / f"full-{len(found.rows)}-{number}"
            limit = size * (number + 1) // (count + 1)
            folder.mkdir()
            mounted = name == "full file system"
            if mounted:
                # beside the journal there are run.json, the lock, a log and checkpoints
                options = f"size={limit + 48 * 1024}"
                mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
                if subprocess.run(mount, capture_output=True).returncode:
                    found.measured["tmpfs"] = "not permitted here"
                    break
            try:
                end, before = full(file, folder, None if mounted else limit)
                if mounted:
                    subprocess.run(["mount", "-o", "remount,size=100m", str(folder)], check=True)
                finish(file, folder)
                after, records = by_cell(folder), read_journal(folder)
            finally:
                if mounted:
                    subprocess.run(["umount", "-l", str(folder)], check=True)
            outcome[end] += 1
            row.lost += len(wanted.keys() - after.keys()) + (records[: len(before)] != before)
            row.twice += sum(len(own) > 1 for own in after.values())
            row.hidden += sum(after[key][0] != wanted[key][0] for key in wanted if key in after)
            clock.tell(len(found.rows) * count + number + 1, 2 * count + 1, name)
        else:
            row.outcome = dict(outcome)
            found.rows.append(row)
    found.rows.append(denied(part, home, file, unbroken))
    return found


def denied(part: str, home: Path, file: Path, unbroken: Path) -> Row:
    """Run a suite into a folder, and read a journal, that one may not."""
    shut = home / "shut"
    shut.mkdir(mode=0o555)
    closed = home / "closed"
    shutil.copytree(unbroken, closed)
    (closed / JOURNAL).chmod(0)
    row = Row(part, "permission denied", "of a folder, and of a journal", 2)
    before = (closed / JOURNAL).stat().st_size
    outcome: Counter[str] = Counter()
    for folder in (shut / "run", closed):
        ended = subprocess.run(
            command("run", file, "--out", folder), capture_output=True, text=True, preexec_fn=obey
        )
        outcome[told(ended)] += 1
        row.hidden += ended.returncode == 0
    (closed / JOURNAL).chmod(0o644)
    row.lost += (closed / JOURNAL).stat().st_size != before
    row.lost += by_cell(closed) != by_cell(unbroken)
    row.outcome = dict(outcome)
    return row


# --- the soak


def soaked(cells: int, home: Path) -> Suite:
    """A suite of so many tiny trainings in units of 50; a twentieth of them breaks down."""
    draw = random.Random(4)
    with_fault = draw.sample(range(cells), cells // 20)
    kinds = {at: list(FAULTS)[i % len(FAULTS)] for i, at in enumerate(with_fault)}
    grids = []
    for first in range(0, cells, 50):
        methods = [
            f"{FAULTY}(fault={kinds.get(number, NONE)!r}, at={draw.choice([1, 3])}, "
            f"number={number}, folder={str(home)!r})"
            for number in range(first, min(first + 50, cells))
        ]
        grids.append(
            {
                **TINY,
                "methods": methods,
                "batch_sizes": [8 + first // 50],
                "epochs": 1,
                "seeds": [0],
            }
        )
    return build_suite(
        "soak",
        {
            "title": "Soak",
            "timeout_minutes": TIMEOUT_MINUTES,
            "memory_limit": MEMORY_LIMIT,
            "generalization": grids,
        },
    )


def soak(part: str, home: Path, times: int | None) -> Found:
    """Run many cells, and look at the coordinator meanwhile."""
    cells = SOAK if times is None else min(SOAK, max(100, 20 * times))
    clock = Clock(part)
    suite = soaked(cells, home)
    sampler = Sampler(clock, cells)
    folder = home / "soak"
    run_here(suite, folder, sampler, workers=2)
    end = {"cells": cells, **own_state()}
    rows = accounts(suite, folder, "generalization").values()
    whole = Row(part, "all of them, mixed", f"{cells // 20} of {cells} trainings", cells)
    for row in rows:
        whole.lost += row.lost
        whole.twice += row.twice
        whole.hidden += row.hidden
        for what, count in row.outcome.items():
            whole.outcome[what] = whole.outcome.get(what, 0) + count
    whole.outcome["children still there"] = left_behind(home)
    return Found([whole], {"coordinator": [*sampler.samples, end]})


Part = Callable[[str, Path, "int | None"], Found]
PARTS: dict[str, Part] = {
    "blocks": break_down,
    "units": break_down,
    "kills": kills,
    "cuts": cuts,
    "flips": flips,
    "disk": disk,
    "soak": soak,
}


# --- the page


HEAD = """# Faults: tests of robustness

This page is generated by `python -m benchmarks.faults results/trust --page docs/faults.md`, which
anyone can run; [results/trust/faults.json](../results/trust/faults.json) has the machine, the
software and the commit. Each fault was injected into a real small run. *Lost*: cells with neither a
result nor a failure at the end, earlier results that have disappeared, and methods without a fault
that failed. *Twice*: cells with two results or failures. *Hidden*: cells that had a fault but are
not reported as failed, and results that are not bit-for-bit those of the undisturbed run. All
counts must be 0.
"""


def page(answers: dict[str, Any]) -> str:
    """The answers as a page in Markdown."""
    rows = [row for part in PARTS if part in answers for row in answers[part]["rows"]]
    table = [
        [
            row["part"],
            row["fault"],
            row["injected"],
            row["times"],
            row["lost"],
            row["twice"],
            row["hidden"],
            "; ".join(
                f"{count} × {what}" if count != 1 else what
                for what, count in row["outcome"].items()
            ).replace("|", "\\|"),
        ]
        for row in rows
    ]
    headers = ["part", "fault", "injected", "times", "lost", "twice", "hidden", "seen"]
    text = (
        f"{HEAD}\n"
        f"Total: {len(rows)} rows, {sum(r['times'] for r in rows)} injections or cells; lost "
        f"{sum(r['lost'] for r in rows)}, twice {sum(r['twice'] for r in rows)}, hidden "
        f"{sum(r['hidden'] for r in rows)}.\n\n"
        f"{tabulate(table, headers, 'pipe', disable_numparse=True)}\n"
    )
    samples = answers.get("soak", {}).get("measured", {}).get("coordinator")
    if samples:
        shown = [
            [s["cells"], f"{s['rss_bytes'] / 2**20:.1f}", s["handles"], s["threads"], s["zombies"]]
            for s in samples
        ]
        text += (
            "\n## The coordinator during the soak test\n\n"
            "The coordinator's own process, by number of cells done; the last row is after the "
            "run, when its tables have been built. A worker that has just ended is briefly a "
            "zombie, until it is reaped.\n\n"
            + tabulate(
                shown,
                ["cells", "resident (MiB)", "handles", "threads", "zombies"],
                "pipe",
                disable_numparse=True,
            )
            + "\n"
        )
    return text


def main(arguments: Iterable[str] | None = None) -> None:
    """Write ``faults.json`` and, if asked, the page; the exit code is 1 if a count is not 0."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", nargs="+", choices=[*PARTS], default=[*PARTS])
    parser.add_argument("--times", type=int, help="kills, cuts, flips; for a short try")
    parser.add_argument("--page", type=Path)
    options = parser.parse_args(None if arguments is None else list(arguments))
    options.out.mkdir(parents=True, exist_ok=True)
    paths = (str(ROOT), os.environ.get("PYTHONPATH"))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    file = options.out / "faults.json"
    answers = read_answers(file)
    with tempfile.TemporaryDirectory(prefix="gr-bench-faults-") as base:
        home = Path(base, "runs")
        home.mkdir()
        for part in options.only:
            begin = time.monotonic()
            found = PARTS[part](part, home, options.times)
            answers[part] = {
                "rows": [asdict(row) for row in found.rows],
                "measured": found.measured,
                "seconds": time.monotonic() - begin,
            }
            write_answers(file, answers)
    if options.page:
        text = page(answers)
        write_whole(options.page, lambda opened: opened.write(text.encode()))
    bad = [
        row
        for part in options.only
        for row in answers[part]["rows"]
        if row["lost"] or row["twice"] or row["hidden"]
    ]
    for row in bad:
        print(f"not 0: {row}")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
