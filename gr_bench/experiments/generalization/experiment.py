"""The generalization experiment: its cells, who measures and who shows them."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from gr_bench import registry
from gr_bench.experiments.block_times import Times, TimesOptions, measure_block
from gr_bench.experiments.chart import Chart
from gr_bench.experiments.experiment import Experiment, Job, Summary, Unit
from gr_bench.experiments.generalization.cell import (
    GeneralizationCell,
    GeneralizationGrid,
    Role,
    momentum,
    settings,
)
from gr_bench.experiments.generalization.options import TrainingOptions
from gr_bench.experiments.generalization.planning import plan
from gr_bench.experiments.generalization.record import Training
from gr_bench.experiments.record import Progress, Record

if TYPE_CHECKING:
    from pandas import DataFrame


BITS = ("train_bits_per_byte", "validation_bits_per_byte", "test_bits_per_byte")
LATER: dict[str, dict[str, Any]] = {
    "generalization": {
        **{"split_seed": 0, "tuned": False, "sharpness_error": None},
        **dict.fromkeys(BITS, math.nan),
    },
    "training_curves": {"split_seed": 0, "tuned": False},
    "comparison": {"splits": 1, "interval": "seeds alone", "tuned": False},
    "time_to_target": {"tuned": False},
    "selection": {
        **dict.fromkeys(("weight_decay", "rank", "test_accuracy"), math.nan),
        "judged_by": "accuracy",
    },
    "step_times": {},
    "aggregates": {"all_diverged": math.nan},
}
"""By table, columns that older runs lack, with what theirs would be."""


class Generalization(Experiment[GeneralizationGrid, GeneralizationCell]):
    """Train every cell; read the test part once, at the end."""

    name = "generalization"
    title = "Does it generalise?"
    grid = GeneralizationGrid
    cell = GeneralizationCell
    records = (Training, Times)
    options = (TrainingOptions, TimesOptions)
    later_columns: ClassVar = {
        table: own if table == "selection" else {"baseline": "sgd", **own}
        for table, own in LATER.items()
    }

    def cells(self, grid: GeneralizationGrid) -> list[GeneralizationCell]:
        """One cell for every point of the grid, setting of the training and seed.

        Where the numbers are to be chosen, those of the candidates first; of the others, only the
        chosen ones will be measured. With trials, what they are is known from the start.
        """
        parts: list[tuple[Role, Sequence[int]]] = [("run", grid.seeds)]
        if grid.select:
            parts = [("candidate", grid.selection_seeds), ("chosen", grid.seeds)]
        sources = " ".join(map(registry.METERS.source, grid.meters))
        meters: dict[str, Any] = {"meters": tuple(grid.meters), "meter_source": sources}
        workloads = [
            point | {"schedule": schedule, "augmentation": augmentation, "label_noise": noise}
            for point, schedule, augmentation, noise in itertools.product(
                grid.points(), grid.schedules, grid.augmentations, grid.label_noise
            )
        ]
        return [
            GeneralizationCell(
                seed=seed,
                split_seed=plan.split_seed(grid, role, seed),
                epochs=epochs,
                momentum=momentum(grid, workload["optimizer"]),
                sharpness=grid.sharpness and role != "candidate",
                role=role,
                baseline=grid.baseline,
                tuned=grid.trials is not None,
                **({} if role == "candidate" else meters),
                **workload | setting._asdict(),
            )
            for role, seeds in parts
            for workload in workloads
            for setting, seed in itertools.product(settings(grid, workload), seeds)
            for epochs in plan.epochs(grid, setting.spec)
        ]

    def pending(
        self,
        grid: GeneralizationGrid,
        cells: Sequence[GeneralizationCell],
        records: Sequence[Record],
        left_s: float | None = None,
    ) -> list[Job[GeneralizationCell]]:
        """Every cell without a record, in units that can be fleets, side by side.

        Where times are to be equal, steps are timed before. Candidates come first; when they all
        have been trained, what was chosen. The order is random, so that the first results speak of
        the whole grid and the time left is known early.
        """
        if timings := plan.timings(grid, cells, records, left_s):
            return timings
        units = plan.units(grid, plan.wanted(grid, cells, records), records)
        random.Random(0).shuffle(units)
        return [Job(tuple(units), any_gpu=True)] if units else []

    def remaining_units(
        self,
        grid: GeneralizationGrid,
        cells: Sequence[GeneralizationCell],
        records: Sequence[Record],
    ) -> dict[str, int]:
        """The units of cells without a record, and at least one for every choice to come."""
        wanted = plan.wanted(grid, cells, records)
        count = len(plan.units(grid, wanted, records))
        if any(cell.role == "candidate" for cell in wanted):
            count += len({cell.selection_group for cell in cells if cell.role == "chosen"})
        return {
            f"{self.name} {TrainingOptions.kind}": count,
            f"{self.name} {TimesOptions.kind}": plan.replicates_to_come(grid, cells, records),
        }

    def measure(self, unit: Unit[GeneralizationCell]) -> Iterator[Record | Progress]:
        """The training runs of a unit, or the step times of one workload's methods."""
        from gr_bench.experiments.generalization.training.train import train_all

        options = unit.options
        if isinstance(options, TrainingOptions):
            yield from train_all(
                unit.cells,
                options.trainer,
                unit.folder,
                options.checkpoint_s,
                unit.worker.at_work,
                options.evaluate_every,
            )
        elif isinstance(options, TimesOptions):
            yield from measure_block(unit.cells, options, unit.worker.at_work, unit.worker.start_s)

    def tables(self, records: Sequence[Record]) -> dict[str, DataFrame]:
        """``generalization``, a row a training; ``training_curves``, a row an evaluated epoch.

        Candidates are in neither: ``selection`` has a row for each of their settings, and where
        they are trials, ``tuning_curves`` what so many of them find, ``tuning_budgets`` what a
        study with so many would have concluded.
        ``comparison`` has the baseline beside every setting, at equal epochs, gradient evaluations
        and time; ``bits_comparison`` is the same in bits per byte, of text in bytes;
        ``time_to_target`` has what every setting takes to an accuracy; ``step_times`` a row a
        method. ``aggregates``, ``mean_ranks`` and ``performance_profiles`` are over workloads.
        """
        from gr_bench.experiments.generalization.analysis import tables
        from gr_bench.experiments.generalization.analysis.equal_cost import (
            bits_comparison,
            comparison,
        )
        from gr_bench.experiments.generalization.analysis.time_to_target import time_to_target
        from gr_bench.experiments.generalization.analysis.tuning import (
            tuning_budgets,
            tuning_curves,
        )

        timed = tables.step_times(records)
        runs = tables.generalization(records, timed)
        curves = tables.training_curves(records)
        compared = comparison(runs, records)
        found = {
            "generalization": runs,
            "training_curves": curves,
            "comparison": compared,
            "bits_comparison": bits_comparison(runs, records),
            "time_to_target": time_to_target(runs, curves),
            "selection": tables.selection(records),
            "tuning_curves": tuning_curves(records),
            "tuning_budgets": tuning_budgets(records, compared),
            "step_times": timed,
        }
        return found | self.later_tables(found)

    def later_tables(self, tables: dict[str, DataFrame]) -> dict[str, DataFrame]:
        """``aggregates``, ``mean_ranks`` and ``performance_profiles``, where they are not there; no
        comparison in bits, since runs of before had no text in bytes.
        """
        from gr_bench.experiments.generalization.analysis.aggregates import over_workloads

        if not {"generalization", "comparison"} <= tables.keys():
            return {}
        later = {} if "bits_comparison" in tables else {"bits_comparison": tables["comparison"][:0]}
        if "aggregates" in tables:
            return later
        return later | over_workloads(tables["generalization"], tables["comparison"])

    def headlines(self, tables: dict[str, DataFrame]) -> dict[str, dict[str, str]]:
        """Test accuracy and its gap, as ranges over workloads of means over seeds; divergences."""
        from gr_bench.experiments.generalization.analysis.findings import headlines

        return headlines(tables)

    def findings(self, tables: dict[str, DataFrame]) -> list[str]:
        """Methods better and worse than the baseline, at which equal cost, how much; the rest."""
        from gr_bench.experiments.generalization.analysis.findings import findings

        return findings(tables)

    def warnings(self, tables: dict[str, DataFrame]) -> list[str]:
        """Trainings that diverged or failed, and comparisons that are undecided."""
        from gr_bench.experiments.generalization.analysis.findings import warnings

        return warnings(tables)

    def summaries(self, tables: dict[str, DataFrame]) -> list[Summary]:
        """Mean and interval over seeds, paired differences from the baseline, what was chosen."""
        from gr_bench.experiments.generalization.analysis.summaries import summaries

        return summaries(tables)

    def paper_tables(self, tables: dict[str, DataFrame]) -> list[Summary]:
        """Test accuracy, its gap, and differences from the baseline at equal cost."""
        from gr_bench.experiments.generalization.analysis import paper

        return paper.paper_tables(tables)

    def protocol(self, tables: dict[str, DataFrame]) -> list[str]:
        """Trainings, choices, comparisons."""
        from gr_bench.experiments.generalization.analysis import paper

        return paper.protocol(tables)

    def charts(self, tables: dict[str, DataFrame]) -> Iterator[Chart]:
        """Curves, test accuracy and gap, accuracy against cost."""
        from gr_bench.experiments.generalization.analysis import figures

        yield from figures.charts(tables)
