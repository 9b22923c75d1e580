"""The page's first table: every method in one row."""

from __future__ import annotations

import pandas as pd

from gr_bench.experiments import style
from gr_bench.runs.results import Results


def overview(results: Results) -> pd.DataFrame:
    """Every method's headlines, as the run's experiments give them.

    Its columns: ``method``, the spec; then the headlines by title. ``-`` stands where a method has
    no result.

    Raises:
        ValueError: two experiments have a headline of the same title.
    """
    columns: dict[str, dict[str, str]] = {}
    for name, experiment in results.experiments.items():
        for title, by_spec in experiment.headlines(results.tables).items():
            if title in columns:
                raise ValueError(f"{name}: another experiment also has a headline {title!r}")
            columns[title] = by_spec
    specs = style.in_order(spec for by_spec in columns.values() for spec in by_spec)
    rows = [
        {"method": spec, **{title: by_spec.get(spec, "-") for title, by_spec in columns.items()}}
        for spec in specs
    ]
    return pd.DataFrame(rows, columns=["method", *columns])
