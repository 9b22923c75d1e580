"""The pages' templates, with filters for tables of either format."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib import resources
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup, escape

from gr_bench.experiments.experiment import Summary
from gr_bench.reports.pivots import Pivot


def templates() -> jinja2.Environment:
    """The pages' templates, with a filter for tables of either kind."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("gr_bench.reports"),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.globals["zip"] = zip
    environment.globals["vendored"] = _vendored
    environment.filters["rows_json"] = rows_json
    environment.filters["entries_json"] = _entries_json
    environment.filters["where_json"] = _where_json
    environment.filters["inline"] = _inline
    environment.filters["html_table"] = _html_table
    environment.filters["md_table"] = _md_table
    environment.filters["facts_md"] = _facts_md
    environment.filters["md_code"] = _md_code
    environment.filters["pivot_md"] = _pivot_md
    return environment


def _vendored(name: str) -> str:
    """The text of a file of another project that pages embed."""
    return resources.files("gr_bench.reports").joinpath("vendor", name).read_text("utf-8")


def _inline(text: str) -> Markup:
    """A line of Markdown as HTML: what stands between backticks is code, all else as it is."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def rows_json(summary: Summary) -> str:
    """A table as ``{"columns": [...], "main": [...], "rows": [[...]]}``, safe inside of a script
    element; ``main`` are the places of the columns that are shown at once.
    """
    table = summary.table
    columns = [str(own) for own in table.columns]
    main = [place for place, name in enumerate(columns) if name in summary.main]
    rows = table.astype(object).where(table.notna(), "-").map(_printed).to_numpy().tolist()
    return _script_json(
        {"columns": columns, "main": main or list(range(len(columns))), "rows": rows}
    )


def _entries_json(entries: Iterable[Any]) -> str:
    """Dataclasses as a list of objects, safe inside of a script element."""
    return _script_json([asdict(own) for own in entries])


def _script_json(content: object) -> str:
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _where_json(where: Mapping[str, object]) -> str:
    return json.dumps({key: _printed(value) for key, value in where.items()}, ensure_ascii=False)


def _printed(value: object) -> object:
    return value.item() if hasattr(value, "item") else str(value)


def _html_table(table: pd.DataFrame) -> str:
    html = table.to_html(index=False, border=0, na_rep="-", classes="data")
    return html.replace("<th>", '<th scope="col">')


def _md_table(table: pd.DataFrame) -> str:
    text = table.fillna("-").astype(str).map(lambda s: " ".join(s.split()).replace("|", r"\|"))
    return text.to_markdown(index=False, disable_numparse=True)


def _facts_md(facts: Mapping[str, Sequence[str]], labels: Iterable[str]) -> str:
    rows = [[name, *values] for name, values in facts.items()]
    return _md_table(pd.DataFrame(rows, columns=["", *labels]))


def _md_code(text: str) -> str:
    """A text as Markdown's code, whatever number of backticks it has."""
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{text}{fence}" if fence == "`" else f"{fence} {text} {fence}"


def _pivot_md(pivot: Pivot) -> str:
    rows = [
        [group, name, *(entry.relative if entry else "-" for entry in entries)]
        for group, of in pivot.groups.items()
        for name, entries in of.items()
    ]
    return _md_table(pd.DataFrame(rows, columns=["workload", "method", *pivot.columns]))
