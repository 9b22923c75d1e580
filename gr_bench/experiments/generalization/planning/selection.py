"""Choosing a method's numbers and learning rate by the validation part.

The mean accuracy decides, and of settings that are alike in it the mean loss. Of bytes the loss
decides, since bits per byte are what such models are compared by.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from gr_bench.experiments.generalization.cell import GeneralizationCell
from gr_bench.experiments.generalization.record import BYTE, Training
from gr_bench.experiments.record import Record


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
    tests: list[float]
    """Test accuracy of the same runs, of trials alone: to be shown, never to choose by."""

    by_loss: bool = False
    """True for bytes, of which the loss comes before the accuracy."""

    @property
    def rank(self) -> tuple[Any, ...]:
        """The order of choice, smallest first: runs lost, accuracy and loss, or of bytes loss and
        accuracy, then the spelling.
        """
        lost = self.diverged + self.failed
        if not self.accuracies:
            return (lost, 0.0, 0.0, self.cell.setting)
        results = (-fmean(self.accuracies), fmean(self.losses))
        return (lost, *(results[::-1] if self.by_loss else results), self.cell.setting)


def candidates(records: Sequence[Record]) -> dict[tuple[Any, ...], list[Candidate]]:
    """Every selection group's candidates, the chosen one first, by validation results alone."""
    runs: dict[tuple[Any, ...], list[Record]] = defaultdict(list)
    cells: dict[tuple[Any, ...], GeneralizationCell] = {}
    for record in records:
        cell = record.cell
        if isinstance(cell, GeneralizationCell) and cell.role == "candidate":
            key = (cell.selection_group, cell.setting)
            runs[key].append(record)
            cells.setdefault(key, cell)
    found: dict[tuple[Any, ...], list[Candidate]] = defaultdict(list)
    for key, own in runs.items():
        trained = [record for record in own if isinstance(record, Training)]
        last = [record.curve[-1] for record in trained if not record.diverged]
        selection_group, _ = key
        found[selection_group].append(
            Candidate(
                cells[key],
                accuracies=[point.validation_accuracy for point in last],
                losses=[point.validation_loss for point in last],
                diverged=len(trained) - len(last),
                failed=len(own) - len(trained),
                tests=[one.test_accuracy for one in trained if one.test_accuracy is not None],
                by_loss=any(one.unit == BYTE for one in trained),
            )
        )
    return {group: sorted(them, key=lambda one: one.rank) for group, them in found.items()}


def chosen(records: Sequence[Record]) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """Every selection group's setting to go on with; one in which nothing was trained has none."""
    return {
        group: ranked[0].cell.setting
        for group, ranked in candidates(records).items()
        if ranked[0].accuracies
    }
