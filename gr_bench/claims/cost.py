"""Claims about the cost of a step, from a run's timed replicates and counters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from gr_bench import stats
from gr_bench.claims.base import Case, Claim, Evidence, above, exactly, measured_by
from gr_bench.experiments.block_times import BlockTimes
from gr_bench.experiments.cell import Cell
from gr_bench.experiments.step_cost.cell import StepCostCell
from gr_bench.experiments.step_cost.record import Counters
from gr_bench.spec import Spec, parse
from gr_bench.timing.replicates import log_ratio

FORWARD, DOUBLE_BACKPROP = "f-gr", "db-gr"
RESIDUAL = ("resnet", "wrn")
COMMAND = measured_by("step_cost", "claims-cost")


def _where(cell: Cell) -> str:
    return f"{cell.model}, {cell.dataset}, batch {cell.batch_size}"


def _pairs(evidence: Evidence) -> Iterator[tuple[StepCostCell, StepCostCell]]:
    """F-GR and DB-GR of every block, the first of each where there are several."""
    blocks: dict[tuple[Any, ...], dict[str, StepCostCell]] = defaultdict(dict)
    for record in evidence.records:
        cell = record.cell
        if isinstance(cell, StepCostCell) and not cell.control:
            blocks[cell.block].setdefault(parse(cell.spec).name, cell)
    for block in blocks.values():
        if FORWARD in block and DOUBLE_BACKPROP in block:
            yield block[FORWARD], block[DOUBLE_BACKPROP]


def _times(evidence: Evidence) -> BlockTimes:
    return BlockTimes([r for r in evidence.records if isinstance(r.cell, StepCostCell)])


def _log_ratios(times: BlockTimes, f_gr: Cell, db_gr: Cell) -> dict[int, float]:
    """Per replicate, log(time of DB-GR/time of F-GR)."""
    forward, double = times.records.get(f_gr.id, {}), times.records.get(db_gr.id, {})
    return {
        replicate: log_ratio(double[replicate].step_s, forward[replicate].step_s)
        for replicate in forward
        if replicate in double
    }


def _ratios(evidence: Evidence, bound: float, only: tuple[str, ...] = ("",)) -> list[Case]:
    times, cases = _times(evidence), []
    for f_gr, db_gr in _pairs(evidence):
        logs = _log_ratios(times, f_gr, db_gr)
        if logs and f_gr.model.startswith(only):
            value = stats.ratio_interval(list(logs.values()))
            cases.append(Case(_where(f_gr), value, above(value, bound)))
    return cases


def _time(evidence: Evidence) -> list[Case]:
    return _ratios(evidence, 1)


def _twice(evidence: Evidence) -> list[Case]:
    return _ratios(evidence, 2, RESIDUAL)


def _counted(evidence: Evidence, key: str) -> list[Case]:
    counters = {r.cell.id: r for r in evidence.records if isinstance(r, Counters)}
    cases = []
    for f_gr, db_gr in _pairs(evidence):
        if f_gr.id not in counters or db_gr.id not in counters:
            continue
        forward, double = (getattr(counters[cell.id], key) for cell in (f_gr, db_gr))
        if forward and double is not None:
            ratio = double / forward
            cases.append(Case(_where(f_gr), exactly(ratio), ratio > 1))
    return cases


def _flops(evidence: Evidence) -> list[Case]:
    return _counted(evidence, "flops")


def _memory(evidence: Evidence) -> list[Case]:
    return _counted(evidence, "peak_bytes")


def _without_depth(cell: StepCostCell) -> StepCostCell:
    spec = parse(cell.model)
    rest = tuple(pair for pair in spec.arguments if pair[0] != "depth")
    return replace(cell, model=str(Spec(spec.name, rest)))


def _by_depth(evidence: Evidence) -> list[Case]:
    """The deepest model of a family against the shallowest, within each process."""
    times = _times(evidence)
    families: dict[tuple[Any, ...], dict[int, tuple[StepCostCell, dict[int, float]]]]
    families = defaultdict(dict)
    for f_gr, db_gr in _pairs(evidence):
        depth = parse(f_gr.model).parameters.get("depth")
        logs = _log_ratios(times, f_gr, db_gr)
        if isinstance(depth, int) and logs:
            families[_without_depth(f_gr).block][depth] = (f_gr, logs)
    cases = []
    for family in families.values():
        low, high = min(family), max(family)
        (cell, shallow), (_, deep) = family[low], family[high]
        growth = [
            deep[replicate] - shallow[replicate] for replicate in deep if replicate in shallow
        ]
        if low < high and growth:
            value = stats.ratio_interval(growth)
            where = f"{_where(_without_depth(cell))}, depth {low} to {high}"
            gaps = " to ".join(
                f"{np.exp(np.mean(list(family[d][1].values()))):.3f}" for d in sorted(family)
            )
            cases.append(Case(where, value, above(value, 1), f"time of DB-GR over F-GR {gaps}"))
    return cases


COST = (
    Claim(
        "cheaper-time",
        "A step of finite-difference GR takes less time than one of double backpropagation.",
        "on the computational cost, wall times",
        COMMAND,
        "time of DB-GR over F-GR",
        "{:.2f}",
        "A block holds if the 95 % interval of the time ratio (over freshly started processes, "
        "round by round) is above 1, and does not if it is below.",
        _time,
    ),
    Claim(
        "cheaper-flops",
        "It takes fewer matrix products: 6L for L layers, not 9L.",
        "on the computational cost, counts of products",
        COMMAND,
        "FLOPs of DB-GR over F-GR",
        "{:.3f}",
        "A block holds if the FLOPs counted in a step (exact) have a ratio above 1.",
        _flops,
    ),
    Claim(
        "cheaper-memory",
        "It takes less memory.",
        "on the computational cost, memory",
        COMMAND,
        "peak memory of DB-GR over F-GR",
        "{:.2f}",
        "A block holds if the peaks of a step (exact: every allocation is counted) have a ratio "
        "above 1.",
        _memory,
    ),
    Claim(
        "gap-grows-with-depth",
        "The gap in time grows with the depth of the network.",
        "on the computational cost, wall times against depth",
        measured_by("step_cost*mlp", "claims-depth"),
        "growth of the time ratio of DB-GR over F-GR from the shallowest to the deepest",
        "{:.3f}",
        "Models that differ in depth alone hold if the 95 % interval of the growth, taken within "
        "each process, is above 1, and do not if it is below.",
        _by_depth,
    ),
    Claim(
        "twice-on-resnets",
        "On ResNets, finite-difference GR is more than twice as fast.",
        "on the computational cost, wall times of ResNets",
        measured_by("step_cost*resnet", "claims-resnet"),
        "time of DB-GR over F-GR",
        "{:.2f}",
        "A residual network holds if the 95 % interval of the time ratio is above 2, and does "
        "not if it is below.",
        _twice,
    ),
)
