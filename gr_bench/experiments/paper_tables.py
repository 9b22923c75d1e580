"""Tables as a paper prints them, pivoted where that makes them narrower; lists in words."""

from __future__ import annotations

import pandas as pd

WIDEST = 115
"""Characters in a line of a table: more are wider than a page."""


class Strong(str):
    """A cell's text that is to be printed bold."""


def pivot(rows: pd.DataFrame, quantity: str) -> pd.DataFrame:
    """A table of texts with methods and workloads on its sides, whichever way is narrower; a row
    for each pair where both are too wide for a page.

    Args:
        rows: ``method``, ``workload`` and ``value``, in order.
        quantity: the title of the values, where neither side is across.
    """
    sides = ("method", "workload")
    down, across = min((sides, sides[::-1]), key=lambda order: _width(rows, *order))
    if _width(rows, down, across) > WIDEST:
        renamed = rows[["workload", "method", "value"]].rename(columns={"value": quantity})
        renamed["workload"] = renamed["workload"].mask(renamed["workload"].duplicated(), "")
        return renamed.astype(object)
    cells = {(row[down], row[across]): row["value"] for row in rows.to_dict("records")}
    left, top = (list(dict.fromkeys(rows[key])) for key in (down, across))
    titles = [name or quantity for name in top]
    body = [[name, *(cells.get((name, other), "-") for other in top)] for name in left]
    return pd.DataFrame(body, columns=[down, *titles], dtype=object)


def _width(rows: pd.DataFrame, down: str, across: str) -> int:
    """Characters in a line with ``across`` as columns."""
    most = max(map(len, rows["value"]))
    return max(map(len, rows[down])) + sum(2 + max(most, len(t)) for t in set(rows[across]))


def listed(values: pd.Series) -> str:
    """Distinct values in words: ``a, b and c``; numbers in order."""
    distinct = list(dict.fromkeys(values))
    if all(isinstance(value, int | float) for value in distinct):
        distinct.sort()
    texts = list(map(str, distinct))
    return " and ".join(filter(None, [", ".join(texts[:-1]), texts[-1]]))


def with_interval(center: float, low: float, high: float, number: str) -> str:
    """A value with its interval: ``2.06 [2.03, 2.10]``; ``-`` where it is not known.

    Args:
        center: the value.
        low: the interval's lower end; not finite where there is no interval, which is then said.
        high: its upper end.
        number: how to print one, as ``{:.2f}``.
    """
    if center != center:
        return "-"
    if not (abs(low) < float("inf") and abs(high) < float("inf")):
        return f"{number.format(center)} [not known]"
    return f"{number.format(center)} [{number.format(low)}, {number.format(high)}]"
