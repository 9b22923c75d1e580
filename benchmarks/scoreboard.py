"""Implementations of the SAM family asked by ``gr-bench check``, timed beside SGD, and trained.

    python -m benchmarks.scoreboard install PACKAGES
    python -m benchmarks.scoreboard check PACKAGES results/scoreboard
    python -m benchmarks.scoreboard time PACKAGES results/scoreboard
    python -m benchmarks.scoreboard train PACKAGES results/scoreboard
    python -m benchmarks.scoreboard page results/scoreboard docs/scoreboard.md

``install`` puts each package into a folder of its own in PACKAGES, without what it depends on.
``time`` needs a machine with nothing beside: five processes, each of which steps every
implementation in the same rounds. A ratio is the geometric mean over processes, with its 95 %
t-interval. ``train`` wants the same: it is a run of gr-bench (``training`` in the results' folder,
where it also goes on), with SGD trained for as long as the steps of each implementation take. Each
of the three writes its part of ``scoreboard.json``; ``page`` writes the tables.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from importlib.metadata import Distribution, version
from pathlib import Path
from typing import Any

from benchmarks.sam_family import ENTRIES, Implementation
from gr_bench import registry
from gr_bench.checks.check import Checker
from gr_bench.checks.outcome import Result, not_known
from gr_bench.checks.rules import BY_NAME, RULES, result

VERSIONS = {
    "pytorch-optimizer": "4.1.0",
    "sam-pytorch": "0.0.1",
    "sam-sps": "1.0.0",
    "temperon": "0.1.1",
    "unifiedsam": "1.0.0",
    "pytorch-lightning-sam-callback": "0.1.0",
    "composer": "0.32.1",
    "atorch": "0.2.5",
    "torchzero": "0.4.4",
    "heavyball": "3.2.1",
}
"""Of every package."""

BESIDE = {"torchzero": ["opt-einsum"]}
"""Packages that one needs beside it."""

OURS = ("sam", "asam")

MODEL = "mlp(depth=4, width=512)"
DATA = "random(shape=(1, 28, 28), samples=128)"
BATCH = 128

REPLICATES, SECONDS = 5, 40.0

EPOCHS, RATE = 20, 0.1

TRAINING: dict[str, Any] = {
    "models": ["mlp(depth=4, width=128)"],
    "datasets": ["mnist1d"],
    "batch_sizes": [64],
    "seeds": list(range(10)),
    "splits": "by seed",
    "learning_rates": [RATE],
    "epochs": EPOCHS,
    "evaluate_every": EPOCHS,
    "equal_time": True,
}
"""The grid of the trainings, without its methods."""

FILE = "scoreboard.json"


def spec_of(entry: str) -> str:
    """An implementation as suites and ``gr-bench check`` name it."""
    return f"benchmarks.sam_family:Implementation(entry={entry!r})"


# --- packages


def install(packages: Path) -> None:
    for name, wanted in VERSIONS.items():
        for each in [f"{name}=={wanted}", *BESIDE.get(name, [])]:
            command = [sys.executable, "-m", "pip", "install", "--no-deps", "--quiet"]
            subprocess.run([*command, "--target", str(packages / name), each], check=True)


def environment(packages: Path) -> dict[str, str]:
    """The path of a process that can import all of them."""
    folders = [str((packages / name).resolve()) for name in VERSIONS]
    here = str(Path(__file__).parent.parent)
    return {"PYTHONPATH": os.pathsep.join([here, *folders]), "OMP_NUM_THREADS": "1"}


def installed(packages: Path) -> dict[str, str]:
    """The version of every package that is there."""
    found = {}
    for name in VERSIONS:
        for info in (packages / name).glob("*.dist-info"):
            distribution = Distribution.at(info)
            if distribution.metadata["Name"].lower().replace("_", "-") == name:
                found[name] = distribution.version
    return found


# --- rules


def check(packages: Path, out: Path) -> None:
    rows = {}
    with Checker(environment=environment(packages)) as checker:
        for entry in ENTRIES:
            results = [_fair(entry, r) for r in checker.check(spec_of(entry))]
            rows[entry] = [_near(packages, r) for r in _without_consequences(results)]
            print(entry, *(r.rule for r in rows[entry] if r.verdict == "finding"), sep="\n  ")
    _update(
        out,
        {
            "date": str(date.today()),
            "versions": {
                "gr-bench": version("gr-bench") if _is_installed() else _own_version(),
                "torch": version("torch"),
                "python": sys.version.split()[0],
                **installed(packages),
            },
            "checked": {entry: [asdict(r) for r in results] for entry, results in rows.items()},
        },
    )


def _is_installed() -> bool:
    try:
        version("gr-bench")
    except ModuleNotFoundError:
        return False
    return True


def _own_version() -> str:
    from gr_bench.version import __version__

    return __version__


def _fair(entry: str, found: Result) -> Result:
    """The verdict, but for what only the way in which an entry is driven explains."""
    if (
        ENTRIES[entry].own_update
        and found.rule == "loss not finite"
        and "left elsewhere" in found.words
    ):
        return result(BY_NAME[found.rule], not_known("its own update is part of the step"))
    return found


def _without_consequences(results: Sequence[Result]) -> Iterator[Result]:
    """Every defect once: weights that each step leaves perturbed break other rules, too."""
    (parameters,) = (r for r in results if r.rule == "parameters")
    perturbed = parameters.verdict == "finding" and "not by rounding" in parameters.words
    for found in results:
        follows = "left elsewhere" in found.words or found.words.endswith(" changes")
        if perturbed and found is not parameters and found.verdict == "finding" and follows:
            yield result(BY_NAME[found.rule], not_known("follows from the rule on parameters"))
        else:
            yield found


def _near(packages: Path, found: Result) -> Result:
    """The place without the folders that are this machine's."""
    where = found.where
    if where is None:
        return found
    for folder in [*((packages / name).resolve() for name in VERSIONS), Path.cwd()]:
        where = where.removeprefix(f"{folder}/")
    return Result(found.rule, found.verdict, found.words, found.suffers, where)


# --- times


@dataclass(frozen=True)
class TimedCell:
    """One implementation, or ours, on the model that is timed."""

    spec: str
    is_baseline: bool = False
    is_control: bool = False
    model: str = MODEL
    dataset: str = DATA
    batch_size: int = BATCH
    device: str = "cpu"
    dtype: str = "float32"
    compiled: bool = False
    variant: str = ""
    optimizer: str = "sgd"

    @property
    def id(self) -> str:
        return "control" if self.is_control else self.spec


def time_all(packages: Path, out: Path) -> None:
    from gr_bench import stats

    logs: dict[str, list[float]] = {}
    rounds: list[int] = []
    failed: dict[str, str] = {}
    for replicate in range(REPLICATES):
        command = [sys.executable, "-m", "benchmarks.scoreboard", "replicate", str(replicate)]
        told = subprocess.run(
            command, env=os.environ | environment(packages), check=True, stdout=subprocess.PIPE
        )
        answer = json.loads(told.stdout.splitlines()[-1])
        rounds.append(answer["rounds"])
        failed |= answer["failed"]
        for name, log in answer["logs"].items():
            logs.setdefault(name, []).append(log)
        print(f"process {replicate + 1} of {REPLICATES}: {answer['rounds']} rounds", flush=True)
    ratios = {name: stats.ratio_interval(own)._asdict() for name, own in logs.items()}
    how = {"model": MODEL, "batch_size": BATCH, "replicates": REPLICATES, "rounds": rounds}
    _update(
        out,
        {
            "timed": {
                "date": str(date.today()),
                **how,
                **_machine(),
                "ratios": ratios,
                "failed": failed,
            }
        },
    )


def _machine() -> dict[str, Any]:
    from gr_bench.meters.get_device import get_device

    return {"device": get_device("cpu").describe(), "load": os.getloadavg()[0]}


def time_one(replicate: int) -> None:
    """One process of :func:`time_all`: every cell in the same rounds."""
    from gr_bench.meters.conditions import hold_still

    hold_still("held")
    import torch

    from gr_bench import registry
    from gr_bench.timing.block import BlockReplicate
    from gr_bench.timing.replicates import log_ratio
    from gr_bench.timing.variant import PLAIN

    torch.set_num_threads(1)
    names = {spec_of(entry): entry for entry in ENTRIES} | {f"gr-bench {o}": o for o in OURS}
    cells = [
        TimedCell("sgd", is_baseline=True, variant=PLAIN),
        TimedCell("sgd", is_control=True, variant=PLAIN),
        *(TimedCell(name.removeprefix("gr-bench "), variant=PLAIN) for name in names),
    ]
    block = BlockReplicate(cells, registry, replicate, lambda cell: None)
    failed = {
        names.get(cell.spec, f"gr-bench {cell.spec}"): f"{type(error).__name__}: {error}"
        for cell, error in block.measure(SECONDS, 3)
    }
    samples = {cell.id: own.step_s for cell, own in block.samples.items()}
    baseline = samples.pop("sgd")
    logs = {
        names.get(name)
        or ("SGD once more" if name == "control" else f"gr-bench {name}"): log_ratio(own, baseline)
        for name, own in samples.items()
    }
    print(json.dumps({"rounds": len(baseline), "logs": logs, "failed": failed}))


# --- trainings


def train(packages: Path, out: Path) -> None:
    """A run of all that is on the page, in which SGD has as much time as each of them."""
    folder = out / "training"
    command = [sys.executable, "-m", "benchmarks.scoreboard", "trainings", str(folder)]
    subprocess.run(command, env=os.environ | environment(packages), check=True)

    import gr_bench

    run = gr_bench.load(folder)
    rows, failed = {}, {}
    for name, spec in _trained_specs().items():
        found = run.comparison[
            (run.comparison["spec"] == spec) & (run.comparison["cost"] == "time")
        ]
        if len(found):
            rows[name] = json.loads(found.iloc[0][list(ROW)].to_json())
            steps = run.step_times[(run.step_times["spec"] == spec) & ~run.step_times["control"]]
            rows[name]["time_ratio"] = float(steps["time_ratio"].iloc[0])
        else:
            own = run.failures[run.failures["spec"] == spec]
            runs = run.generalization[run.generalization["spec"] == spec]
            failed[name] = _why_not(list(own["reason"]), list(runs["status"]))
    about = {key: run.about[key] for key in ("started", "status")}
    how = {"model": TRAINING["models"][0], "dataset": TRAINING["datasets"][0]}
    how |= {"batch_size": TRAINING["batch_sizes"][0], "epochs": EPOCHS, "learning_rate": RATE}
    _update(out, {"trained": {**about, **how, **_machine(), "rows": rows, "failed": failed}})


ROW = (
    *("epochs", "baseline_epochs", "test_accuracy"),
    *("seeds", "difference", "low", "high", "p", "verdict"),
)
"""The columns of ``comparison`` that are kept."""


def _trained_specs() -> dict[str, str]:
    """The specs in a run's tables, by the names on the page."""
    own = {f"gr-bench {name}": registry.spell_method(name) for name in OURS}
    return {entry: str(Implementation(entry)) for entry in ENTRIES} | own


def _why_not(reasons: Sequence[str], statuses: Sequence[str]) -> str:
    """The reason for which there is no comparison at equal time, in one line."""
    if reasons:
        return reasons[0].partition("\n")[0]
    if not statuses:
        return "the run was not finished"
    return "no training came to its end: " + ", ".join(
        f"{count} {status}" for status, count in Counter(statuses).items()
    )


def run_trainings(folder: Path) -> None:
    """The run of :func:`train`, where the packages can be imported."""
    import gr_bench

    methods = ["sgd", *OURS, *map(spec_of, ENTRIES)]
    title = "Implementations of the SAM family, and SGD in as much time"
    gr_bench.run({"title": title, "generalization": [{"methods": methods, **TRAINING}]}, folder)


# --- the page


def page(out: Path, file: Path) -> None:
    data = json.loads((out / FILE).read_text())
    text = "\n".join(lines(data))
    (out / "scoreboard.md").write_text(text.replace("(RULES)", "(../../docs/check.md)"))
    file.write_text(text.replace("(RULES)", "(check.md)"))


def lines(data: Mapping[str, Any]) -> Iterator[str]:
    """The page, as Markdown."""
    versions, timed, trained = data["versions"], data.get("timed"), data.get("trained")
    packages = [name for name in VERSIONS if name in versions]
    yield "# Scoreboard: implementations of the SAM family"
    yield ""
    told = ", ".join(f"{name} {versions[name]}" for name in packages)
    count = sum(bool(entry.package) for entry in ENTRIES.values())
    yield (
        f"{len(ENTRIES)} implementations: {count} in {len(packages)} packages from PyPI, "
        "unmodified, and textbook loops with the structure common to most repositories. Checked on "
        f"{data['date']} by `gr-bench check` {versions['gr-bench']} ([the rules](RULES)), "
        f"with PyTorch {versions['torch']} on Python {versions['python']}: {told}."
    )
    yield ""
    yield from _PREFACE
    yield ""
    yield from _summary(data, timed, trained)
    yield ""
    if timed:
        yield from _how_timed(timed)
        yield ""
    if trained:
        yield from _how_trained(trained)
        yield ""
    yield "## Every finding"
    yield ""
    yield from _PACKAGES
    for entry in ENTRIES:
        yield ""
        yield from _details(entry, data["checked"][entry], versions)
    yield ""


_PREFACE = (
    "The importance of a finding depends on how an implementation is used, and some rules go "
    "beyond its promises: an optimizer with a closure cannot know about dropout masks, PyTorch "
    "recommends autocast around forward passes only (`autocast around` requires more), and "
    "`parameters` counts a single rounding. Each implementation is driven as in its documentation "
    "or its own tests, with a base optimizer that does nothing, or with a learning rate of 0 if it "
    "has none; if this alone explains a verdict, the verdict is *not known*. Consequences of a "
    "defect that is already named are not counted again. Versions change: run it on yours.",
)

_PACKAGES = (
    "To install the packages and repeat each line:",
    "",
    "```sh",
    "python -m benchmarks.scoreboard install PACKAGES",
    "export PYTHONPATH=$(echo PACKAGES/* | tr ' ' ':')",
    "```",
)


def _summary(
    data: Mapping[str, Any], timed: Mapping[str, Any] | None, trained: Mapping[str, Any] | None
) -> Iterator[str]:
    yield (
        "| implementation | findings | not known | time / SGD | accuracy - SGD's in equal time "
        "| rules broken |"
    )
    yield "|---|---|---|---|---|---|"
    order = sorted(ENTRIES, key=lambda entry: len(_broken(data["checked"][entry])))
    for entry in order:
        results = data["checked"][entry]
        broken = _broken(results)
        unknown = sum(r["verdict"] == "not known" for r in results)
        yield (
            f"| {entry} | {len(broken)} | {unknown} | {_ratio(timed, entry)} "
            f"| {_gain(trained, entry)} | {', '.join(r['rule'] for r in broken)} |"
        )
    if timed:
        for name in [f"gr-bench {o}" for o in OURS]:
            times, gain = _ratio(timed, name), _gain(trained, name)
            yield f"| *{name}* | | | {times} | {gain} | (for scale) |"
        yield f"| *SGD again* | | | {_ratio(timed, 'SGD once more')} | | (noise) |"
    yield ""
    yield "| rule | broken by | kept by | not known or not applicable |"
    yield "|---|---|---|---|"
    for rule in RULES:
        verdicts = Counter(
            r["verdict"]
            for results in data["checked"].values()
            for r in results
            if r["rule"] == rule.name
        )
        others = verdicts["not known"] + verdicts["not applicable"]
        yield f"| {rule.name} | {verdicts['finding']} | {verdicts['pass']} | {others} |"


def _broken(results: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [r for r in results if r["verdict"] == "finding"]


def _ratio(timed: Mapping[str, Any] | None, name: str) -> str:
    interval = (timed or {"ratios": {}})["ratios"].get(name)
    if interval is None:
        return "not known"
    return f"{interval['center']:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]"


def _gain(trained: Mapping[str, Any] | None, name: str) -> str:
    """Points of test accuracy more than SGD's."""
    row = (trained or {"rows": {}})["rows"].get(name)
    if row is None:
        return "not trained"
    difference, low, high = (100 * row[key] for key in ("difference", "low", "high"))
    return f"{difference:+.2f} [{low:+.2f}, {high:+.2f}]"


def _how_timed(timed: Mapping[str, Any]) -> Iterator[str]:
    device = timed["device"]
    yield (
        f"Times: `{timed['model']}`, batch {timed['batch_size']}, one thread of {device['name']} "
        f"({device['cores']} cores, {device['capability']}), {timed['date']}; momentum SGD behind "
        f"each method; all in the same rounds ({', '.join(map(str, timed['rounds']))} in "
        f"{timed['replicates']} processes); geometric means over processes with 95 % t-intervals."
    )
    for name, reason in timed["failed"].items():
        yield ""
        yield f"{name} has no time: during timing it raised `{reason}`."


def _how_trained(trained: Mapping[str, Any]) -> Iterator[str]:
    device, rows = trained["device"], trained["rows"].values()
    seeds = sorted({row["seeds"] for row in rows})
    believed = Counter(row["verdict"] for row in rows)
    yield (
        f"Accuracies: points of test accuracy on `{trained['dataset']}`, "
        f"`{trained['model']}`, batch {trained['batch_size']}, {trained['epochs']} epochs of "
        f"momentum SGD at a learning rate of {trained['learning_rate']:g} with each direction, at "
        "the entry's own radius, minus SGD's accuracy in equal time, by the step times on this "
        "workload; means over "
        f"{' to '.join(map(str, seeds))} seeds (each with its own split of the data, paired) "
        f"with 95 % intervals; one thread of {device['name']} ({device['capability']}), "
        f"{trained['started'][:10]}. At a false-discovery rate of 5 %: "
        f"{', '.join(f'{count} {verdict}' for verdict, count in believed.items())}. No "
        "hyper-parameter was tuned: this compares directions and is not a ranking of tuned methods."
    )
    for name, reason in trained["failed"].items():
        yield ""
        yield f"{name} was not trained: `{reason}`."


def _details(entry: str, results: Sequence[Mapping[str, Any]], versions: Any) -> Iterator[str]:
    own = ENTRIES[entry]
    told = f"{own.package} {versions[own.package]}" if own.package else "own loop"
    yield f"### {entry}"
    yield ""
    yield f'{told}{"; " + own.how if own.how else ""}. Repeat: `gr-bench check "{spec_of(entry)}"`'
    yield ""
    for r in _broken(results):
        yield f"- **{r['rule']}**: {r['words']} (`{r['where']}`)"


def _update(out: Path, part: Mapping[str, Any]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    file = out / FILE
    data = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(data | dict(part), indent=1) + "\n")


def main() -> None:
    what, *arguments = sys.argv[1:]
    if what == "replicate":
        time_one(int(arguments[0]))
        return
    if what == "trainings":
        run_trainings(Path(arguments[0]))
        return
    do = {"install": install, "check": check, "time": time_all, "train": train, "page": page}[what]
    do(*map(Path, arguments))


if __name__ == "__main__":
    main()
