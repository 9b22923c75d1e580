"""The implicit-bias experiment: which solutions are to be found, who finds and shows them."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from gr_bench.experiments.chart import Chart
from gr_bench.experiments.experiment import Experiment, Job, Summary, Unit
from gr_bench.experiments.implicit_bias.cell import MODEL, ImplicitBiasCell, ImplicitBiasGrid
from gr_bench.experiments.implicit_bias.problem import build_problem
from gr_bench.experiments.implicit_bias.record import Solution
from gr_bench.experiments.record import Progress, Record

if TYPE_CHECKING:
    from pandas import DataFrame


class ImplicitBias(Experiment[ImplicitBiasGrid, ImplicitBiasCell]):
    """Follow every method to its solution, and solve for the one that theory predicts."""

    name = "implicit_bias"
    title = "Which solution does each method select?"
    grid = ImplicitBiasGrid
    cell = ImplicitBiasCell
    records = (Solution,)

    def cells(self, grid: ImplicitBiasGrid) -> list[ImplicitBiasCell]:
        """One cell for every problem, seed, α and method."""
        samples = {text: len(build_problem(text, seed=0).targets) for text in grid.problems}
        return [
            ImplicitBiasCell(
                spec=method,
                model=MODEL,
                dataset=problem,
                batch_size=samples[problem],
                device="cpu",
                dtype="float64",
                threads=1,
                seed=seed,
                alpha=alpha,
                step=grid.step,
                tolerance=grid.tolerance,
                most_steps=grid.most_steps,
            )
            for problem, seed, alpha, method in itertools.product(
                grid.problems, grid.seeds, grid.alphas, grid.methods
            )
        ]

    def pending(
        self,
        grid: ImplicitBiasGrid,
        cells: Sequence[ImplicitBiasCell],
        records: Sequence[Record],
        left_s: float | None = None,
    ) -> list[Job[ImplicitBiasCell]]:
        """Every cell without a record, those that can be followed in one array together."""
        units = _units(cells, records)
        return [Job(tuple(units))] if units else []

    def remaining_units(
        self,
        grid: ImplicitBiasGrid,
        cells: Sequence[ImplicitBiasCell],
        records: Sequence[Record],
    ) -> dict[str, int]:
        """The units of cells without a record."""
        return {self.name: len(_units(cells, records))}

    def measure(self, unit: Unit[ImplicitBiasCell]) -> Iterator[Record | Progress]:
        """The solutions of a unit."""
        from gr_bench.experiments.implicit_bias.measure import solve

        yield from solve(unit.cells)

    def tables(self, records: Sequence[Record]) -> dict[str, DataFrame]:
        """``implicit_bias``, a row a solution; ``implicit_bias_coordinates``, a row an entry.

        ``implicit_bias_order`` says how α̃ goes with ε, a row a problem.
        """
        from gr_bench.experiments.implicit_bias import tables

        solutions = tables.implicit_bias(records)
        return {
            "implicit_bias": solutions,
            "implicit_bias_coordinates": tables.coordinates(records),
            "implicit_bias_order": tables.order(solutions),
        }

    def headlines(self, tables: dict[str, DataFrame]) -> dict[str, dict[str, str]]:
        """The mean of α̃/α, over problems of one sort."""
        from gr_bench.experiments.implicit_bias import findings

        return findings.headlines(tables["implicit_bias"])

    def findings(self, tables: dict[str, DataFrame]) -> list[str]:
        """Sentences on α̃ against ε, on theory's prediction, and on what was lost."""
        from gr_bench.experiments.implicit_bias import findings

        return findings.findings(tables["implicit_bias"], tables["implicit_bias_order"])

    def warnings(self, tables: dict[str, DataFrame]) -> list[str]:
        """Steps that are too large for descent to be its flow."""
        from gr_bench.experiments.implicit_bias import findings

        return findings.warnings(tables["implicit_bias"])

    def summaries(self, tables: dict[str, DataFrame]) -> list[Summary]:
        """Every method's solutions, then the order of α̃."""
        from gr_bench.experiments.implicit_bias import tables as build

        return build.summaries(tables["implicit_bias"], tables["implicit_bias_order"])

    def paper_tables(self, tables: dict[str, DataFrame]) -> list[Summary]:
        """The solutions without what tells how exact they are."""
        from gr_bench.experiments.implicit_bias import paper

        return paper.paper_tables(self.summaries(tables))

    def protocol(self, tables: dict[str, DataFrame]) -> list[str]:
        """Problems, starts, what solutions are held to."""
        from gr_bench.experiments.implicit_bias import paper

        return paper.protocol(tables["implicit_bias"])

    def charts(self, tables: dict[str, DataFrame]) -> Iterator[Chart]:
        """α̃ against ε, prediction against what was found, test error, the way between the ends."""
        from gr_bench.experiments.implicit_bias import figures

        yield from figures.charts(tables["implicit_bias"], tables["implicit_bias_coordinates"])


def _units(
    cells: Sequence[ImplicitBiasCell], records: Sequence[Record]
) -> list[Unit[ImplicitBiasCell]]:
    have = {record.cell.id for record in records}
    groups: dict[tuple[Any, ...], list[ImplicitBiasCell]] = defaultdict(list)
    for cell in cells:
        if cell.id not in have:
            groups[cell.batch_key].append(cell)
    return [Unit(tuple(group)) for group in groups.values()]
