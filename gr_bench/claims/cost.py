"""Claims about the cost of a step, from a run's timed replicates and counters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np

from gr_bench import stats
from gr_bench.claims.base import (
    Case,
    Claim,
    Evidence,
    claim_words,
    exactly,
    measured_by,
    sized,
)
from gr_bench.claims.scope import Scope, setting_of
from gr_bench.experiments.block_times import BlockTimes
from gr_bench.experiments.cell import Cell
from gr_bench.experiments.step_cost.cell import StepCostCell
from gr_bench.experiments.step_cost.record import Counters
from gr_bench.spec import Spec, parse
from gr_bench.timing.replicates import log_ratio

FORWARD, DOUBLE_BACKPROP = "f-gr", "db-gr"
RESIDUAL = ("resnet", "wrn")
COMMAND = measured_by("step_cost", "claims-cost")

MATTERS = 1.05
"""The smallest ratio of costs that matters, where the paper names none."""

TWICE = 2.0
PRODUCTS = 9 / 6
"""Matrix products of DB-GR over F-GR's: 9L over 6L."""

TOLERANCE = 0.05
"""Of the ratio of products: part of FLOPs that are no layer's, or of layers that are not equal."""

IMAGES = ("cifar10", "cifar100", "random(shape=(3, 32, 32))")
"""Data sets of CIFAR's size; the time of a step does not depend on what they show."""

ON_A_GPU = Scope(
    "an MLP of width 512 or ResNet-18 on 32x32 images, on a GPU; an NVIDIA A100 in the paper",
    models=("mlp(width=512)", "resnet-18"),
    datasets=IMAGES,
    devices=("cuda",),
)
RESNETS_ON_A_GPU = replace(
    ON_A_GPU,
    words="ResNet-18 on 32x32 images, on a GPU; an NVIDIA A100 in the paper",
    models=("resnet-18",),
)
ON_PAPER = Scope(
    "MLPs of L layers, with products counted by hand; any data and device",
    models=("mlp",),
)


def step_pairs(
    evidence: Evidence, first: str, second: str
) -> Iterator[tuple[StepCostCell, StepCostCell]]:
    """Two methods' cells of every block, the first of each where there are several."""
    blocks: dict[tuple[Any, ...], dict[str, StepCostCell]] = defaultdict(dict)
    for record in evidence.records:
        cell = record.cell
        if isinstance(cell, StepCostCell) and not cell.control:
            blocks[cell.block].setdefault(parse(cell.spec).name, cell)
    for block in blocks.values():
        if first in block and second in block:
            yield block[first], block[second]


def step_times(evidence: Evidence) -> BlockTimes:
    """The timed replicates of step-cost cells."""
    return BlockTimes([r for r in evidence.records if isinstance(r.cell, StepCostCell)])


def time_log_ratios(times: BlockTimes, own: Cell, base: Cell) -> dict[int, float]:
    """Per replicate, log(own time/base's time), of the same rounds."""
    ours, theirs = times.records.get(own.id, {}), times.records.get(base.id, {})
    return {
        replicate: log_ratio(ours[replicate].step_s, theirs[replicate].step_s)
        for replicate in theirs
        if replicate in ours
    }


def _time(claimed: float, only: tuple[str, ...], evidence: Evidence) -> list[Case]:
    """The time of DB-GR's step over that of F-GR's, against the size that is claimed."""
    times, cases = step_times(evidence), []
    for f_gr, db_gr in step_pairs(evidence, FORWARD, DOUBLE_BACKPROP):
        logs = time_log_ratios(times, db_gr, f_gr)
        if logs and f_gr.model.startswith(only):
            value = stats.ratio_interval(list(logs.values()))
            setting = setting_of(f_gr)
            cases.append(Case(str(setting), value, sized(value, claimed, 1), setting))
    return cases


def products_ratio(model: str) -> float:
    """The ratio of products that is claimed of a model: (9L - 5)/(6L - 2) of an MLP of ``depth`` L,
    9/6, its limit for many layers, of another.

    Of L equal layers, DB-GR takes 9L - 5 products and F-GR 6L - 2: the first layer's input needs no
    gradient.
    """
    spec = parse(model)
    depth = spec.parameters.get("depth") if spec.name == "mlp" else None
    return (9 * depth - 5) / (6 * depth - 2) if isinstance(depth, int) else PRODUCTS


def _counted(key: Literal["flops", "peak_bytes"], evidence: Evidence) -> list[Case]:
    counters = {r.cell.id: r for r in evidence.records if isinstance(r, Counters)}
    cases = []
    for f_gr, db_gr in step_pairs(evidence, FORWARD, DOUBLE_BACKPROP):
        if f_gr.id not in counters or db_gr.id not in counters:
            continue
        forward, double = (getattr(counters[cell.id], key) for cell in (f_gr, db_gr))
        if not forward or double is None:
            continue
        value, setting = exactly(double / forward), setting_of(f_gr)
        claimed, note = MATTERS, ""
        if key == "flops":
            expected = products_ratio(f_gr.model)
            claimed, note = max(1.0, (1 - TOLERANCE) * expected), f"claimed: {expected:.3f}"
        cases.append(Case(str(setting), value, sized(value, claimed, 1), setting, note))
    return cases


def _without_depth(cell: StepCostCell) -> StepCostCell:
    spec = parse(cell.model)
    rest = tuple(pair for pair in spec.arguments if pair[0] != "depth")
    return replace(cell, model=str(Spec(spec.name, rest)))


def _by_depth(evidence: Evidence) -> list[Case]:
    """The deepest model of a family against the shallowest, within each process."""
    times = step_times(evidence)
    families: dict[tuple[Any, ...], dict[int, tuple[StepCostCell, dict[int, float]]]]
    families = defaultdict(dict)
    for f_gr, db_gr in step_pairs(evidence, FORWARD, DOUBLE_BACKPROP):
        depth = parse(f_gr.model).parameters.get("depth")
        logs = time_log_ratios(times, db_gr, f_gr)
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
            setting = setting_of(_without_depth(cell))
            gaps = " to ".join(
                f"{np.exp(np.mean(list(family[d][1].values()))):.3f}" for d in sorted(family)
            )
            where = f"{setting}, depth {low} to {high}"
            note = f"time of DB-GR over F-GR {gaps}"
            cases.append(Case(where, value, sized(value, MATTERS, 1), setting, note))
    return cases


SMALLEST = f"The paper gives no size; a ratio of at least {MATTERS:g} counts."

COST = (
    Claim(
        name="cheaper-time",
        words="A step of finite-difference GR takes less time than one of double backpropagation.",
        where="on the computational cost, wall times (Figure 2)",
        scope=ON_A_GPU,
        size=SMALLEST,
        command=COMMAND,
        quantity="time of DB-GR over F-GR",
        number="{:.2f}",
        rule="The time ratio is computed round by round, with its 95 % interval over freshly "
        f"started processes. A block holds if the interval is at {MATTERS:g} or above; the "
        f"gap is smaller if the interval is below {MATTERS:g} and above 1; the claim is "
        f"contradicted if the interval is below {MATTERS:g} and not above 1.",
        cases=partial(_time, MATTERS, ("",)),
        answers=claim_words("less, but by under 5 %", has_size=False),
    ),
    Claim(
        name="cheaper-flops",
        words="It takes fewer matrix products: 6L for L layers instead of 9L.",
        where="on the computational cost, counts of products",
        scope=ON_PAPER,
        size="9L over 6L: a ratio of (9L - 5)/(6L - 2) for an MLP of L layers, since the first "
        "layer's input needs no gradient, and of its limit 1.5 for other networks.",
        command=COMMAND,
        quantity="FLOPs of DB-GR over F-GR",
        number="{:.3f}",
        rule="A block holds if the ratio of the FLOPs counted in a step (exact) is at least the "
        f"claimed one less {100 * TOLERANCE:g} %; FLOPs are fewer, but not by the claimed "
        "factor, if the ratio is below that and above 1; the claim is contradicted if the "
        "ratio is 1 or below.",
        cases=partial(_counted, "flops"),
        answers=claim_words("fewer, but not by the claimed factor"),
    ),
    Claim(
        name="cheaper-memory",
        words="It takes less memory.",
        where="on the computational cost, memory",
        scope=ON_A_GPU,
        size=SMALLEST,
        command=COMMAND,
        quantity="peak memory of DB-GR over F-GR",
        number="{:.2f}",
        rule="A block holds if the ratio of the peaks of a step (exact: every allocation is "
        f"counted) is at least {MATTERS:g}; the saving is smaller if the ratio is between 1 "
        f"and {MATTERS:g}; the claim is contradicted if the ratio is 1 or below.",
        cases=partial(_counted, "peak_bytes"),
        answers=claim_words("less, but by under 5 %", has_size=False),
    ),
    Claim(
        name="gap-grows-with-depth",
        words="The gap in time grows with the depth of the network.",
        where="on the computational cost, wall times against depth (Figure 2)",
        scope=ON_A_GPU,
        size=f"The paper gives no size; a growth of the ratio of at least {MATTERS:g} counts.",
        command=measured_by("step_cost*mlp", "claims-depth"),
        quantity="growth of the time ratio of DB-GR over F-GR from the shallowest to the deepest",
        number="{:.3f}",
        rule="The growth between models that differ only in depth is computed within each "
        f"process. They hold if its 95 % interval is at {MATTERS:g} or above; the growth is "
        f"smaller if the interval is below {MATTERS:g} and above 1; the claim is "
        f"contradicted if the interval is below {MATTERS:g} and not above 1.",
        cases=_by_depth,
        answers=claim_words("grows, but by under 5 %", has_size=False),
    ),
    Claim(
        name="twice-on-resnets",
        words="On ResNets, finite-difference GR is more than twice as fast.",
        where="on the computational cost, wall times of ResNets (Figure 2)",
        scope=RESNETS_ON_A_GPU,
        size=f"A ratio above {TWICE:g}.",
        command=measured_by("step_cost*resnet", "claims-resnet"),
        quantity="time of DB-GR over F-GR",
        number="{:.2f}",
        rule="A residual network holds if the 95 % interval of the time ratio is above "
        f"{TWICE:g}; it is faster, but not twice as fast, if the interval is below "
        f"{TWICE:g} and above 1; the claim is contradicted if the interval is below "
        f"{TWICE:g} and not above 1.",
        cases=partial(_time, TWICE, RESIDUAL),
        answers=claim_words("faster, but not twice as fast"),
    ),
)
