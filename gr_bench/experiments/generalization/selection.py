"""Choosing a method's numbers and learning rate by the validation part."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gr_bench.experiments.base import Record
from gr_bench.experiments.generalization.cell import GeneralizationCell


@dataclass(frozen=True)
class Candidate:
    """A setting and how it did on the seeds to choose by."""

    cell: GeneralizationCell
    """One of its runs."""

    accuracies: list[float]
    """Validation accuracy after the last epoch, of the runs that did not diverge."""

    losses: list[float]
    diverged: int
    failed: int

    @property
    def rank(self) -> tuple[Any, ...]:
        """The smallest is chosen: no run lost, then accuracy, then loss, then the spelling."""
        if not self.accuracies:
            return (self.diverged + self.failed, 0.0, 0.0, self.cell.setting)
        accuracy, loss = float(np.mean(self.accuracies)), float(np.mean(self.losses))
        return (self.diverged + self.failed, -accuracy, loss, self.cell.setting)


def candidates(records: Sequence[Record]) -> dict[tuple[Any, ...], list[Candidate]]:
    """Every contest's candidates, the chosen one first. Nothing but validation results is used."""
    runs: dict[tuple[Any, ...], list[Record]] = defaultdict(list)
    for record in records:
        cell = record.cell
        assert isinstance(cell, GeneralizationCell)
        if cell.role == "candidate":
            runs[cell.contest, cell.setting].append(record)
    found: dict[tuple[Any, ...], list[Candidate]] = defaultdict(list)
    for (contest, _), own in runs.items():
        cell = own[0].cell
        assert isinstance(cell, GeneralizationCell)
        trained = [record.data for record in own if record.kind == "training"]
        last = [data["curve"][-1] for data in trained if data["diverged_step"] is None]
        found[contest].append(
            Candidate(
                cell,
                accuracies=[point["validation_accuracy"] for point in last],
                losses=[point["validation_loss"] for point in last],
                diverged=len(trained) - len(last),
                failed=len(own) - len(trained),
            )
        )
    return {contest: sorted(them, key=lambda one: one.rank) for contest, them in found.items()}


def chosen(records: Sequence[Record]) -> dict[tuple[Any, ...], tuple[str, float]]:
    """Every contest's setting to go on with; a contest in which nothing was trained has none."""
    return {
        contest: ranked[0].cell.setting
        for contest, ranked in candidates(records).items()
        if ranked[0].accuracies
    }
