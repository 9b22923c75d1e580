"""A run for a paper: figures and tables, how it was measured, and what to cite."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd

from gr_bench.errors import RequestError
from gr_bench.experiments import looks, style
from gr_bench.experiments.experiment import Picture, Summary
from gr_bench.experiments.paper_tables import Strong
from gr_bench.reports import references
from gr_bench.reports.tex import paragraph, tex
from gr_bench.runs.results import Results
from gr_bench.spec import parse

ONE_COLUMN = 48
"""Characters in a table's line that there is room for in one of two columns."""

SMALL, SMALLER = 95, 110
"""Characters in a line of a page in the sizes of type ``\\small`` and ``\\footnotesize``."""

ENDED = {
    "budget spent": "Measurement ended when its time budget was spent.",
    "interrupted": "Measurement was interrupted before completion.",
    "running": "Measurement was still in progress when this was written.",
}
"""Sentences on a run that did not come to its end, by its status."""


def write_figures(results: Results, folder: Path, look: str) -> dict[Path, Picture]:
    """Draw a run's figures in a look, into files of its formats.

    Args:
        results: of the run.
        folder: made if it is not there.
        look: one of :data:`gr_bench.experiments.looks.LOOKS`.

    Returns:
        The files and what they show.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    with looks.look(look) as chosen:
        for experiment in results.experiments.values():
            for picture in experiment.figures(results.tables):
                plt.close(picture.figure)
                for suffix in chosen.formats:
                    path = folder / f"{picture.name}.{suffix}"
                    dated = {"CreationDate": None} if suffix == "pdf" else None
                    picture.figure.savefig(path, metadata=dated)
                    written[path] = picture
    return written


def write_latex(results: Results, folder: Path) -> list[Path]:
    """Write what a LaTeX document needs of a run into a folder, which is replaced as a whole.

    ``tables/NAME.tex`` (booktabs, one a question, ready for ``\\input``), ``figures/NAME.pdf`` in
    the look ``paper``, ``figures.tex`` with an environment for each of them, ``methods.tex`` and
    ``methods.md``, a paragraph on how it was measured, and ``references.bib``.

    Args:
        results: of the run.
        folder: within its report.

    Returns:
        The files to include: tables, ``figures.tex``, ``methods.tex``, ``methods.md``,
        ``references.bib``.

    Raises:
        RequestError: nothing has been measured yet.
    """
    if not results.experiments:
        raise RequestError(f"{results.folder} has no results yet")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".latex-") as made:
        fresh = Path(made) / folder.name
        (fresh / "tables").mkdir(parents=True)
        texts = {f"tables/{name}.tex": text for name, text in _tables(results).items()}
        pictures = write_figures(results, fresh / "figures", "paper")
        how = methods_paragraph(results)
        version = str(results.about["environment"]["gr_bench"])
        texts["figures.tex"] = "\n".join(_figure(path.name, p) for path, p in pictures.items())
        texts["methods.tex"] = paragraph(how) + "\n"
        texts["methods.md"] = how + "\n"
        texts["references.bib"] = references.bibliography(references.cited(how), version)
        for name, text in texts.items():
            (fresh / name).write_text(text, encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        fresh.rename(folder)
    return [folder / name for name in texts]


def _tables(results: Results) -> dict[str, str]:
    """The tables of a paper in LaTeX, by name."""
    device = str(results.about["environment"]["device"].get("name"))
    with looks.look("paper"):
        return {
            summary.name: table_tex(summary, device)
            for experiment in results.experiments.values()
            for summary in experiment.paper_tables(results.tables)
            if len(summary.table)
        }


def table_tex(summary: Summary, device: str) -> str:
    """A table in LaTeX, with booktabs: its caption says how the numbers were made, and where.

    Args:
        summary: with a table of texts.
        device: the name of what it was measured on.
    """
    table = summary.table.fillna("-").astype(object)
    bold = table.map(lambda cell: "textbf:--rwrap;" if isinstance(cell, Strong) else "")
    width = _width(table)
    styled = (
        table.style.hide(axis="index")
        .format(tex)
        .format_index(tex, axis="columns")
        .apply(lambda _: bold, axis=None)
    )
    caption = tex(f"{summary.caption} Measured on {device}.")
    text = styled.to_latex(
        hrules=True,
        caption=caption,
        label=f"tab:{summary.name}",
        position="t",
        position_float="centering",
        column_format="l" + "r" * (table.shape[1] - 1) if _numeric(table) else None,
        multicol_align="c",
        environment="table*" if width > ONE_COLUMN else "table",
    )
    before, after = "\\small\n", ""
    if width > SMALL:
        before = "\\footnotesize\n"
    if width > SMALLER:
        before, after = "\\resizebox{\\textwidth}{!}{%\n", "}"
    text = text.replace("\\begin{tabular}", f"\\vspace{{4pt}}\n{before}\\begin{{tabular}}", 1)
    return text.replace("\\end{tabular}", f"\\end{{tabular}}{after}", 1)


def _numeric(table: pd.DataFrame) -> bool:
    """True if all columns but the first begin with numbers: they are set to the right."""
    first = table.iloc[:, 1:].astype(str).apply(lambda column: column.str.match(r"^[-+\d]"))
    return bool(first.all(axis=None))


def _width(table: pd.DataFrame) -> int:
    """Characters in a line."""
    return sum(
        max(len(c[-1] if isinstance(c, tuple) else str(c)), *map(len, table[c].astype(str))) + 2
        for c in table
    )


def _figure(file: str, picture: Picture) -> str:
    """A figure's environment, over both columns if it is wider than one."""
    wide = picture.figure.get_size_inches()[0] > looks.LOOKS["paper"].column
    name = "figure*" if wide else "figure"
    return "\n".join(
        [
            f"\\begin{{{name}}}[t]",
            "\\centering",
            f"\\includegraphics{{figures/{file}}}",
            f"\\caption{{{tex(f'{picture.title}. {picture.caption}')}}}",
            f"\\label{{fig:{picture.name}}}",
            f"\\end{{{name}}}\n",
        ]
    )


def methods_paragraph(results: Results) -> str:
    """A paragraph for a paper on how a run was measured, made from its records: with what, on what,
    which methods, and how each experiment made its numbers. Citations are Pandoc's: ``[@key]``.
    """
    sentences = [*_where(results.about), _methods(results.tables)]
    for experiment in results.experiments.values():
        sentences += experiment.protocol(results.tables)
    return " ".join(filter(None, sentences))


def _where(about: dict[str, Any]) -> Iterable[str]:
    described = about["environment"]
    git, machine = described.get("git"), described["machine"]
    commit = f", commit {git['commit'][:10]}" if git else ""
    cores = machine.get("cores")
    packages = described["packages"]
    yield (
        f"We measured with gr-bench {described['gr_bench']}{commit} "
        f"[@{references.OWN}] on {described['device'].get('name')}"
        f"{f' ({cores} cores)' if cores else ''} under {machine['system']}, with Python "
        f"{described['python']} and PyTorch {packages.get('torch')}."
    )
    if about["status"] in ENDED:
        yield ENDED[about["status"]]


def _methods(tables: dict[str, pd.DataFrame]) -> str:
    """The methods of all tables, each with its sources."""
    specs = {
        spec for table in tables.values() if "spec" in table for spec in table["spec"].dropna()
    }
    kinds: dict[str, list[str]] = {}
    for spec in style.in_order(specs):
        kinds.setdefault(parse(spec).kind, []).append(spec)
    named = [
        (own[0] if len(own) == 1 else f"{kind} ({len(own)} settings)")
        + references.cite(references.sources(own[0]))
        for kind, own in kinds.items()
    ]
    return f"The methods are {'; '.join(named)}." if named else ""
