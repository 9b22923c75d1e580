"""The pages of the reference that are made from the code: shipped suites, tables and columns."""

from __future__ import annotations

import importlib
import inspect
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gr_bench.experiments import all_experiments
from gr_bench.experiments.columns import IN_EVERY_TABLE, WORKLOAD, build_table
from gr_bench.runs.results import FAILURE
from gr_bench.runs.shipped import shipped

sys.path[:0] = [str(Path(__file__).parent)]

from docstrings import without_roles  # noqa: E402

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

COMMON = ("method", *IN_EVERY_TABLE, *WORKLOAD, "spec")

ANALYSIS = "gr_bench.experiments.generalization.analysis"

MADE_BY = {
    "step_cost": "gr_bench.experiments.step_cost.tables:step_cost",
    "step_samples": "gr_bench.experiments.step_cost.tables:step_samples",
    "step_operators": "gr_bench.experiments.step_cost.operators:step_operators",
    "generalization": f"{ANALYSIS}.tables:generalization",
    "training_curves": f"{ANALYSIS}.tables:training_curves",
    "selection": f"{ANALYSIS}.tables:selection",
    "step_times": f"{ANALYSIS}.tables:step_times",
    "comparison": f"{ANALYSIS}.equal_cost:comparison",
    "bits_comparison": f"{ANALYSIS}.equal_cost:bits_comparison",
    "time_to_target": f"{ANALYSIS}.time_to_target:time_to_target",
    "tuning_curves": f"{ANALYSIS}.tuning:tuning_curves",
    "tuning_budgets": f"{ANALYSIS}.tuning:tuning_budgets",
    "aggregates": f"{ANALYSIS}.aggregates:aggregates",
    "mean_ranks": f"{ANALYSIS}.aggregates:mean_ranks",
    "performance_profiles": f"{ANALYSIS}.aggregates:performance_profiles",
    "implicit_bias": "gr_bench.experiments.implicit_bias.tables:implicit_bias",
    "implicit_bias_coordinates": "gr_bench.experiments.implicit_bias.tables:coordinates",
    "implicit_bias_order": "gr_bench.experiments.implicit_bias.tables:order",
    "flooding": "gr_bench.experiments.flooding.tables:flooding",
    "flooding_traces": "gr_bench.experiments.flooding.tables:traces",
    "modified_flow": "gr_bench.experiments.modified_flow.tables:epochs",
    "modified_flow_orders": "gr_bench.experiments.modified_flow.tables:orders",
    "modified_flow_paths": "gr_bench.experiments.modified_flow.tables:paths",
}
"""The function that makes a table: its docstring is what the page says of it."""

TEXT, TRUTH, COUNT, NUMBER = "text", "true or false", "count", "number"
FRACTION, RATIO, NATS = "fraction", "ratio", "nats"

UNITS = {
    TEXT: """
        method spec model dataset device dtype variant optimizer uncounted_operators allocator
        stop_reason status operator kind schedule augmentation role baseline sharpness_error
        trainer split cost interval verdict judged_by said order experiment reason last_output
        """,
    TRUTH: """
        compiled control launch_bound tuned chosen fresh forward backward between unsupported
        """,
    COUNT: """
        batch_size threads launches gradient_evaluations replicates rounds calls epochs steps runs
        runs_together evaluated_every epochs_to_target evaluations_to_target baseline_epochs seeds
        splits pairs workloads of_workloads all_diverged better worse undecided diverged failed
        baseline_diverged without_errors trials all_trials methods reached most_steps batches
        steps_down steps_of_epsilon descent_ascent ascent_descent
        """,
    "index": """
        seed split_seed replicate round position epoch diverged_step coordinate reached_step rank
        """,
    FRACTION: """
        share waiting_share cpu_share machine_share label_noise train_accuracy validation_accuracy
        test_accuracy p errors_removed improvement_probability pair_share target
        """,
    RATIO: """
        time_ratio device_time_ratio flop_ratio efficiency cost_ratio step_time_ratio alpha_ratio
        alpha_ratio_found widening
        """,
    "relative": """
        half_width target_half_width within_spread between_spread discretisation_error beta_error
        direction_error optimality_residual median_difference largest_difference plain modified full
        """,
    "difference of fractions": "difference gap_accuracy",
    "parameter copies P": "extra_parameter_copies predicted_copies",
    "FLOPs": "flops predicted_flops",
    "FLOP/s": "flops_per_s machine_flops_per_s",
    "J": "energy_j",
    NATS: "train_loss validation_loss test_loss gap_loss loss level",
    "bits per byte": "train_bits_per_byte validation_bits_per_byte test_bits_per_byte",
    NUMBER: """
        gamma epsilon rho alpha r method_alpha learning_rate momentum weight_decay gradient_norm
        parameter_norm largest_eigenvalue trace trace_error mean_rank critical_difference friedman
        friedman_f step tolerance feature_mean l1_norm l2_norm kernel_share test_error least_l1_norm
        least_l1_test_error least_l2_norm least_l2_l1_norm least_l2_test_error residual time
        beta predicted_beta alpha_found predicted_alpha curvature length plain_order modified_order
        full_order large_loss large_gradient_norm large_curvature small_loss small_gradient_norm
        small_curvature explicit_loss explicit_gradient_norm explicit_curvature small_distance
        explicit_distance threshold
        """,
}
"""Columns by unit; those that end in a unit need not be named."""

ENDINGS = {"_ms": "ms", "_s": "s", "_bytes": "bytes"}

ELSEWHERE = {
    ("bits_comparison", "difference"): "bits per byte",
    ("flooding_traces", "step"): "index",
    ("flooding_traces", "difference"): "relative",
    ("implicit_bias", "loss"): NUMBER,
    ("performance_profiles", "threshold"): FRACTION,
    ("time_to_target", "target"): FRACTION,
    ("tuning_curves", "low"): FRACTION,
    ("tuning_curves", "high"): FRACTION,
    ("performance_profiles", "low"): FRACTION,
    ("performance_profiles", "high"): FRACTION,
}
"""Columns that mean something else in one table."""

OF = {unit: frozenset(columns.split()) for unit, columns in UNITS.items()}


def unit(table: str, column: str) -> str:
    """The unit of a column, or the sort of its values.

    Raises:
        LookupError: nobody has said.
    """
    if (table, column) in ELSEWHERE:
        return ELSEWHERE[table, column]
    quantity = column.removesuffix("_low").removesuffix("_high")
    if column in ("low", "high"):
        return unit(table, "difference")
    for name, columns in OF.items():
        if quantity in columns:
            return name
    for ending, name in ENDINGS.items():
        if quantity.endswith(ending):
            return name
    raise LookupError(f"table {table}: the unit of {column} is not in docs/hooks/reference.py")


def tables() -> dict[str, dict[str, list[str]]]:
    """The columns of every table, by experiment and name."""
    found = {}
    for name, experiment in all_experiments().items():
        empty = experiment.tables([])
        empty |= experiment.later_tables(empty)
        found[name] = {table: list(frame.columns) for table, frame in empty.items()}
    return found


def explained(table: str) -> str:
    """The docstring of the function that makes a table, up to its arguments."""
    module, _, name = MADE_BY[table].partition(":")
    text = inspect.getdoc(getattr(importlib.import_module(module), name)) or ""
    return without_roles(text.partition("\nArgs:\n")[0]).replace("*", r"\*").strip()


def listed(table: str, columns: list[str]) -> list[str]:
    """The rows of a Markdown table: every column with its unit."""
    rows = [f"| `{column}` | {unit(table, column)} |" for column in columns]
    return ["| column | unit |", "|---|---|", *rows]


def tables_page() -> Iterator[str]:
    """The lines on every table and its columns."""
    yield from ["## Columns of every table", ""]
    yield from ["The method's own numbers, the workload, and the method spelled in full.", ""]
    yield from [*listed("", list(COMMON)), ""]
    for name, experiment in all_experiments().items():
        yield from [f"## {experiment.title} {{ #{name} }}", ""]
        for table, columns in tables()[name].items():
            own = [c for c in columns if c not in COMMON or not {*COMMON[-1:]} <= {*columns}]
            yield from [f"### `{table}` {{ #{table} }}", "", explained(table), ""]
            yield from [*listed(table, own), ""]
    yield from ["## Every run", "", "### `failures` { #failures }", ""]
    yield from ["A row a cell that gave no result, with the reason.", ""]
    own = [c for c in build_table([], FAILURE).columns if c not in COMMON]
    yield from listed("failures", own)


def suites_page() -> Iterator[str]:
    """The lines on every suite that ships."""
    for name, text in shipped().items():
        suite = tomllib.loads(text)
        yield from [f"## `{name}` {{ #{name} }}", "", f"**{suite['title']}**", ""]
        yield from [" ".join(suite.get("description", "").split()), ""]
        if "budget" in suite:
            yield from [f"Budget: {suite['budget']}.", ""]
        yield f'??? abstract "{name}.toml"'
        yield from [
            "",
            "    ```toml",
            *(f"    {line}" for line in text.splitlines()),
            "    ```",
            "",
        ]


PAGES: dict[str, Callable[[], Iterator[str]]] = {
    "<!-- suites -->": suites_page,
    "<!-- tables -->": tables_page,
}
"""The makers of lines by the comment that stands in their place."""


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The text of a page with what is made from the code."""
    for place, lines in PAGES.items():
        if place in markdown:
            markdown = markdown.replace(place, "\n".join(lines()))
    return markdown
