"""Is the step-cost experiment to be trusted? Three questions, each with a known answer.

    python -m benchmarks.trust OUT [--only equal|known|coverage] [--blocks 100]

- *equal*: 100 blocks of equal things, about ten seconds each: how many are called different?
- *known*: SGD with about 1 % and 2 % of real extra work, 20 short runs each: who calls it slower?
- *coverage*: do the intervals of 40 short runs contain what a long one finds?

A short run is five or ten replicates out of a row of freshly started processes; that the row is one
run saves nothing but bookkeeping, since every replicate is a process of its own.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from gr_bench import stats
from gr_bench.experiments.step_cost.calibration import calibrate
from gr_bench.experiments.step_cost.cell import StepCostCell
from gr_bench.experiments.step_cost.timed import Timed
from gr_bench.runs.progress import Display
from gr_bench.runs.executors import LocalExecutor
from gr_bench.runs.runner import run
from gr_bench.runs.store import read_journal
from gr_bench.runs.suite import build_suite

MLP = "mlp(depth=4, width=512)"
SHORT = 5
MARGIN = 0.005
BURDENS = {"about 2 %": (160, SHORT), "about 1 %": (32, 2 * SHORT)}
"""By extra cost: rows of the burden, and replicates of a short run."""


def measure(name: str, out: Path, *grids: dict[str, Any]) -> list[Any]:
    """Run step-cost grids into ``out/name`` and return the records."""
    suite = build_suite(name, {"title": name, "step_cost": list(grids)})
    with Display(Console(stderr=True)) as display:
        run(suite, out / name, LocalExecutor, display)
    return read_journal(out / name)


def block(**changes: Any) -> dict[str, Any]:
    """The settings of a grid on the digits at batch 128."""
    return {
        "methods": ["sgd"],
        "models": [MLP],
        "datasets": ["digits"],
        "batch_sizes": [128],
    } | changes


def equal(out: Path, blocks: int) -> dict[str, Any]:
    """A/A blocks, half of them on either model."""
    grid = block(
        models=[MLP, "resnet-8"],
        batch_sizes=list(range(104, 104 + blocks // 2)),
        seconds_per_block=2.0,
        replicates=SHORT,
        most_replicates=SHORT,
    )
    records = measure("equal", out, grid)
    by_model = {
        model: asdict(calibrate([r for r in records if r.cell.model == model]))
        for model in (MLP, "resnet-8")
    }
    share = _share_in_samples(records)
    return {"all": asdict(calibrate(records)), **by_model, "share_of_wall_in_samples": share}


def known(out: Path) -> dict[str, Any]:
    """20 short runs of SGD against SGD with extra work."""
    found = {}
    for name, (rows, replicates) in BURDENS.items():
        method = f"benchmarks.known_cost:Burdened(rows={rows})"
        records = measure(
            f"known-{rows}",
            out,
            block(
                methods=["sgd", method],
                seconds_per_block=2.0,
                replicates=20 * replicates,
                most_replicates=20 * replicates,
                control=False,
            ),
        )
        logs = _log_ratios(records, method)
        verdicts = [
            stats.verdict(stats.ratio_interval(x), MARGIN) for x in _short_runs(logs, replicates)
        ]
        found[name] = {
            "rows": rows,
            "replicates": replicates,
            "all_replicates": stats.ratio_interval(logs)._asdict(),
            "runs": len(verdicts),
            "verdicts": {v: verdicts.count(v) for v in sorted(set(verdicts))},
            "margin": MARGIN,
            "seconds_a_run": _seconds(records) / len(verdicts),
            "share_of_wall_in_samples": _share_in_samples(records),
        }
    return found


def coverage(out: Path) -> dict[str, Any]:
    """A long run as the truth, then 40 short ones."""
    records = measure(
        "coverage",
        out,
        block(
            methods=["sgd", "sam", "f-gr"],
            seconds_per_block=1.2,
            replicates=20 + 40 * SHORT,
            most_replicates=20 + 40 * SHORT,
            control=False,
        ),
    )
    found = {}
    for method in ("sam(rho=0.05)", "f-gr(gamma=0.1, epsilon=0.05)"):
        logs = _log_ratios(records, method)
        truth = stats.ratio_interval(logs[:20])
        short = [stats.ratio_interval(x) for x in _short_runs(logs[20:])]
        found[method] = {
            "truth": truth._asdict(),
            "runs": len(short),
            "containing_the_truth": sum(i.low <= truth.center <= i.high for i in short),
            "median_half_width": stats.median([i.half_width for i in short]),
            "between_spread": stats.between_spread(logs),
        }
    return found


def _log_ratios(records: list[Any], method: str) -> list[float]:
    timed = Timed(records)
    (cell_id,) = {
        r.cell.id
        for r in records
        if isinstance(r.cell, StepCostCell)
        and r.cell.spec.removesuffix(".0)") == method.removesuffix(".0)")
    }
    return [stats.median(timed.log_ratios[cell_id][k]) for k in sorted(timed.log_ratios[cell_id])]


def _short_runs(logs: list[float], length: int = SHORT) -> list[list[float]]:
    return [logs[i : i + length] for i in range(0, len(logs) - length + 1, length)]


def _share_in_samples(records: list[Any]) -> float:
    """Part of :func:`_seconds` that was spent inside timed samples."""
    blocks = {r.data["began_unix_s"]: r.data["in_samples_s"] for r in records if r.kind == "times"}
    return float(sum(blocks.values())) / _seconds(records)


def _seconds(records: list[Any]) -> float:
    """Wall time from the first replicate's beginning to the last one's end, starts included."""
    times = [r.data for r in records if r.kind == "times"]
    first, last = (f(times, key=lambda d: d["began_unix_s"]) for f in (min, max))
    return float(last["began_unix_s"] + last["spent_s"] - first["began_unix_s"])


def main() -> None:
    """Answer the questions and write ``trust.json``."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", choices=["equal", "known", "coverage"])
    parser.add_argument("--blocks", type=int, default=100, help="for the question equal")
    arguments = parser.parse_args()
    questions: dict[str, Callable[[Path], dict[str, Any]]] = {
        "equal": partial(equal, blocks=arguments.blocks),
        "known": known,
        "coverage": coverage,
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    file = arguments.out / "trust.json"
    answers = json.loads(file.read_text()) if file.exists() else {}
    for name, ask in questions.items():
        if arguments.only in (None, name):
            answers[name] = ask(arguments.out)
            file.write_text(json.dumps(answers, indent=2) + "\n")
            print(json.dumps({name: answers[name]}, indent=2))


if __name__ == "__main__":
    main()
