"""Trainings that can be compared: of one workload, in pairs of one seed and split."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from gr_bench.claims.base import Evidence
from gr_bench.claims.scope import setting_of
from gr_bench.experiments.generalization.analysis.paired import paired_comparison
from gr_bench.experiments.generalization.analysis.tables import FINAL
from gr_bench.experiments.generalization.cell import GeneralizationCell, chosen_rates
from gr_bench.experiments.generalization.record import Training
from gr_bench.spec import parse
from gr_bench.stats import Interval

NOT_THE_WORKLOADS = {"epochs", "split_seed", "sharpness"}
"""Fields of a cell's workload in which trainings that are compared may differ."""


@dataclass
class Runs:
    """The trainings of one method with its numbers for a number of epochs."""

    cell: GeneralizationCell
    """One of them."""

    done: list[Training] = field(default_factory=list)
    lost: int = 0
    """Trainings that diverged or failed."""

    @property
    def method(self) -> str:
        """The method's name."""
        return parse(self.cell.spec).name

    def number(self, name: str) -> Any:
        """A number of the method's; None if it has no such."""
        return parse(self.cell.spec).parameters.get(name)

    @property
    def evaluations(self) -> float:
        """Gradient evaluations of one training; NaN if none came to its end."""
        return self.done[0].gradient_evaluations if self.done else float("nan")


def workloads(evidence: Evidence) -> Iterator[list[Runs]]:
    """Every workload's trainings that are results; those with chosen numbers are apart from those
    with given ones, and are compared whatever the rates that were chosen.
    """
    found: dict[tuple[Any, ...], dict[tuple[Any, ...], Runs]] = defaultdict(dict)
    for record in evidence.records:
        cell = record.cell
        if not isinstance(cell, GeneralizationCell) or cell.role not in FINAL:
            continue
        own = NOT_THE_WORKLOADS | {*chosen_rates(cell.role, cell.tuned)}
        workload = tuple(pair for pair in cell.workload if pair[0] not in own)
        key = (cell.spec, cell.learning_rate, cell.epochs)
        runs = found[workload].setdefault(key, Runs(cell))
        if isinstance(record, Training) and not record.diverged:
            runs.done.append(record)
        else:
            runs.lost += 1
    yield from (list(runs.values()) for runs in found.values())


def workload_in_words(cell: GeneralizationCell) -> str:
    """Model, data, batch size and label noise."""
    noise = f", label noise {cell.label_noise:g}" if cell.label_noise else ""
    return f"{setting_of(cell)}{noise}"


def points(own: Runs, base: Runs) -> tuple[Interval, str]:
    """Test accuracy of ``own`` minus ``base``, in percentage points, paired by seed and split.

    Returns:
        The mean with its 95 % interval (:func:`paired_comparison`), NaN without a pair; the pairs,
        and what the interval is over, in words.
    """
    found = paired_comparison(own.done, base.done)
    value = Interval(*(100 * x for x in (found.difference, found.low, found.high)))
    if not found.pairs:
        return value, ""
    splits = f"{found.splits} split{'' if found.splits == 1 else 's'}"
    return value, f"{found.pairs} pairs on {splits}; interval over {found.how}"


def lost_in_words(own: Runs, base: Runs) -> str:
    """The number of trainings that either side lost, if any."""
    return f"{own.lost} and {base.lost} runs lost" if own.lost or base.lost else ""
