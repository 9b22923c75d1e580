"""A study of SGD beside itself, by the road that every study takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gr_bench.experiments.generalization.calibration.twins import (
    TWINS,
    SecondTwin,
    Twin,
    TwoStepTwin,
    place,
)
from gr_bench.experiments.generalization.cell import GeneralizationCell, GeneralizationGrid
from gr_bench.experiments.generalization.experiment import Generalization
from gr_bench.experiments.generalization.planning import plan
from gr_bench.experiments.generalization.planning.selection import chosen
from gr_bench.experiments.generalization.record import Training
from gr_bench.experiments.record import Record

SEEDS = 10
"""Of each study, pairs of trainings in a comparison."""

SELECTION_SEEDS = 2
SEEDS_APART = 1000
"""The seeds of a study are this far from those of the next."""

OTHER_SEEDS = {Twin.name: 10**8, SecondTwin.name: 2 * 10**8, TwoStepTwin.name: 3 * 10**8}
"""Added to a twin's seeds where it is trained: what it has in common with SGD is the split."""

DATASETS = ("digits", "mnist1d(samples=2000)")
METHODS = ((Twin, SecondTwin), (TwoStepTwin,))
"""The twins of one study, and of another."""


@dataclass(frozen=True)
class Comparison:
    """A comparison of SGD with itself: the difference is 0 in truth."""

    difference: float
    low: float
    high: float
    p: float
    verdict: str
    pairs: int
    splits: int
    interval: str
    alike: bool
    """True if the same learning rate was chosen for both."""

    @property
    def covers(self) -> bool:
        """True if the interval contains 0."""
        return self.low <= 0 <= self.high

    @property
    def is_called(self) -> bool:
        """True if one was called better than the other."""
        return self.verdict in ("better", "worse")


@dataclass(frozen=True)
class Study:
    """A study's comparisons of equal things, and the trainings of the first."""

    number: int
    datasets: tuple[str, ...]
    by_seed: bool
    """True if every seed had a split of its own; else all had one."""

    comparisons: tuple[Comparison, ...]
    own: tuple[Training, ...]
    base: tuple[Training, ...]
    over_workloads: tuple[str, ...] = ()
    """The verdicts of ``aggregates`` on equal things, of a study on several data sets."""

    @property
    def is_called(self) -> bool:
        """True if any verdict of the study called one better than the other."""
        over = any(verdict in ("ahead", "behind") for verdict in self.over_workloads)
        return over or any(one.is_called for one in self.comparisons)


def grid_of(number: int) -> GeneralizationGrid:
    """The grid of a study: with a split a seed and with one split in turn, on one data set and the
    other, with twins of one gradient evaluation a step and with one of two; after eight studies of
    one data set, eight of both.

    There are no trials: every twin would draw learning rates of its own, and they would differ in
    truth.
    """
    first = SEEDS_APART * (number + 1)
    datasets = [DATASETS[number // 2 % 2]] if number // 8 % 2 == 0 else [*DATASETS]
    return GeneralizationGrid(
        methods=["sgd", *(place(twin) for twin in METHODS[number // 4 % 2])],
        models=["mlp(depth=3, width=64)"],
        datasets=datasets,
        batch_sizes=[64],
        seeds=list(range(first, first + SEEDS)),
        selection_seeds=list(range(first + SEEDS, first + SEEDS + SELECTION_SEEDS)),
        splits=first if number % 2 else "by seed",
        learning_rates=[0.02, 0.1],
        epochs=6,
        evaluate_every=10**6,
        select=True,
        equal_cost=True,
        trainer="fleet",
    )


def study(number: int) -> Study:
    """Do a study: select, train and compare by the functions that a run does it by.

    SGD's trainings are its own. A twin's are SGD's with other seeds, on the same splits: the cells
    that a run would train the twin in are trained as SGD, and their records are the twin's.

    Args:
        number: decides the grid and all seeds.
    """
    experiment, grid = Generalization(), grid_of(number)
    cells = experiment.cells(grid)
    records: list[Record] = []
    while units := plan.units(grid, plan.wanted(grid, cells, records), records):
        for unit in units:
            records += _trained(unit.cells, grid)
    tables = experiment.tables(records)
    rates = {group[0]: rate for group, (_, rate) in chosen(records).items()}
    comparisons = tuple(
        Comparison(
            difference=float(row["difference"]),
            low=float(row["low"]),
            high=float(row["high"]),
            p=float(row["p"]),
            verdict=row["verdict"],
            pairs=int(row["seeds"]),
            splits=int(row["splits"]),
            interval=str(row["interval"]),
            alike=row["learning_rate"] == rates.get("sgd"),
        )
        for row in tables["comparison"].to_dict("records")
        if _is_null(row["spec"], row["cost"])
    )
    first = grid.methods[1]
    factor = TWINS[first].passes
    final = [r for r in records if isinstance(r, Training) and r.cell.role == "chosen"]
    return Study(
        number=number,
        datasets=tuple(grid.datasets),
        by_seed=grid.splits == "by seed",
        comparisons=comparisons,
        own=tuple(r for r in final if r.cell.spec == first),
        base=tuple(
            r for r in final if r.cell.spec == "sgd" and r.cell.epochs == factor * grid.epochs
        ),
        over_workloads=tuple(
            str(row["verdict"])
            for row in tables["aggregates"].to_dict("records")
            if _is_null(row["spec"], row["cost"])
        ),
    )


def _is_null(spec: str, cost: str) -> bool:
    """True if what is compared at this cost is the same."""
    return cost == ("epochs" if TWINS[spec].passes == 1 else "gradient evaluations")


def _trained(cells: Sequence[GeneralizationCell], grid: GeneralizationGrid) -> list[Record]:
    """The records of cells that can be one fleet; a twin's, trained as SGD."""
    from gr_bench.experiments.generalization.training.train import train_all

    of_id = {as_trained(cell).id: cell for cell in cells}
    found: list[Record] = []
    for record in train_all(
        [as_trained(cell) for cell in cells], grid.trainer, evaluate_every=grid.evaluate_every
    ):
        if isinstance(record, Training):
            found.append(as_recorded(record, of_id[record.cell.id]))
        elif isinstance(record, Record):
            found.append(replace(record, cell=of_id[record.cell.id]))
    return found


def as_trained(cell: GeneralizationCell) -> GeneralizationCell:
    """SGD's cell in place of a twin's; any other as it is."""
    twin = TWINS.get(cell.spec)
    if twin is None:
        return cell
    return replace(
        cell,
        spec="sgd",
        method_source="",
        seed=cell.seed + OTHER_SEEDS[twin.name],
        epochs=twin.passes * cell.epochs,
    )


def as_recorded(record: Training, cell: GeneralizationCell) -> Training:
    """A twin's record, of SGD's training in its place."""
    passes = TWINS[cell.spec].passes if cell.spec in TWINS else 1
    curve = tuple(replace(point, epoch=point.epoch // passes) for point in record.curve)
    return replace(record, cell=cell, steps=record.steps // passes, curve=curve)
