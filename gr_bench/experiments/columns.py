"""The columns that every table starts with: the cell, its method's parameters one by one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from gr_bench import registry
from gr_bench.experiments.cell import LATER, Cell
from gr_bench.spec import parse

if TYPE_CHECKING:
    from pandas import DataFrame

PARAMETERS = "parameters"
"""The entry of a row that :func:`build_table` spreads over columns."""

IN_EVERY_TABLE = ("gamma", "epsilon", "rho", "alpha", "level", "r")
"""The methods' parameters that are columns of every table, whatever its rows."""

WORKLOAD = (
    *("model", "dataset", "batch_size", "device", "dtype"),
    *("threads", "compiled", "variant", "optimizer"),
)

SETTINGS = (
    "epochs",
    "momentum",
    "weight_decay",
    "schedule",
    "augmentation",
    "label_noise",
    "role",
    "baseline",
    "tuned",
    "threads",
    "dtype",
    "device",
    "compiled",
    "variant",
    "optimizer",
    "allocator",
)
"""Columns that belong to a workload in some table, and are worth a word only where they differ. No
method's parameter is called so in any.
"""


def cell_columns(cell: Cell, *more: str) -> dict[str, Any]:
    """A cell's fields, and ``more`` of them, as the first entries of a row for
    :func:`build_table`.
    """
    method = parse(cell.spec)
    fields = {key: getattr(cell, key) for key in (*WORKLOAD, "spec", *more)}
    return {"method": method.kind, PARAMETERS: method.all_parameters, **fields}


def build_table(rows: Iterable[dict[str, Any]], columns: Sequence[str]) -> DataFrame:
    """A table of rows that begin with :func:`cell_columns`.

    Its columns: ``method``; one for every parameter that is in every table or that a method among
    the rows has, empty where it does not apply; the workload; ``spec``, the method spelled in full;
    then ``columns``. A parameter with the name of another column, or of one of :data:`SETTINGS`, is
    called ``method_NAME``, and so is one that is no number where a built-in method's of that name
    is: numbers stay numbers. What is no number is text, as a suite spells it; so are the numbers of
    a parameter that is text in another row.

    Args:
        rows: an entry that is missing is empty.
        columns: of the table at hand, after those of the cell.
    """
    import pandas as pd

    rows = list(rows)
    taken = {"method", *WORKLOAD, *SETTINGS, "spec", *columns}
    of_parameters: dict[str, None] = dict.fromkeys(
        _column(name, 0.0, taken) for name in IN_EVERY_TABLE
    )
    spread = []
    for row in rows:
        own = {
            _column(name, value, taken): value if _is_number(value) else str(value)
            for name, value in row[PARAMETERS].items()
        }
        of_parameters |= dict.fromkeys(own)
        spread.append({key: value for key, value in row.items() if key != PARAMETERS} | own)
    table = pd.DataFrame(spread, columns=["method", *of_parameters, *WORKLOAD, "spec", *columns])
    for column in of_parameters:
        values = table[column]
        if values.map(_is_number, na_action="ignore").all():
            table[column] = values.astype(float)
        else:
            table[column] = values.map(str, na_action="ignore")
    return table


def _column(name: str, value: object, taken: set[str]) -> str:
    """The column of a parameter with such a value."""
    mixed = name in registry.method_parameters() and not _is_number(value)
    # a parameter whose name begins so has it twice: no two parameters share a column
    apart = name in taken or mixed or name.startswith("method_")
    return f"method_{name}" if apart else name


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def with_later_columns(table: DataFrame) -> DataFrame:
    """A table of an older run with the columns of cells that it has not, as they were then."""
    if "spec" not in table:
        return table
    later: dict[str, Any] = {
        f.name: f.default
        for f in dataclasses.fields(Cell)
        if LATER in f.metadata and f.name in WORKLOAD
    }
    return table.assign(**{key: value for key, value in later.items() if key not in table})


def method_place(spec: str) -> int:
    """A method's place in tables and figures: the built-in ones in order, then others; then those
    that are made of others.
    """
    names = list(registry.METHODS.built_in)
    name = parse(spec).kind
    if "(" in name:
        return len(names) + 1
    return names.index(name) if name in names else len(names)


def in_order(table: DataFrame, *more: str) -> DataFrame:
    """A table's rows by workload, then by method, then by the columns ``more``.

    The order does not depend on which worker was done first.
    """
    by = ["model", "dataset", "batch_size", "threads", "dtype", "device", "variant", "optimizer"]
    placed = table.assign(_place=table["spec"].map(method_place).astype(int))
    placed = placed.sort_values([*by, "_place", "spec", *more], kind="stable", ignore_index=True)
    return placed.drop(columns="_place")
