"""The claims of a run on one page, and in the terminal."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from gr_bench.claims import CLAIMS
from gr_bench.claims.base import Evidence, Judged, judge, show
from gr_bench.errors import RequestError
from gr_bench.reports.page import about, templates
from gr_bench.runs.results import Results

FOLDER = "claims"
ANSWERS = {True: "holds", False: "does not hold", None: "open"}


def judge_run(folder: Path) -> list[Judged]:
    """Every claim, judged by what a run has so far.

    Raises:
        RequestError: the folder is not a run's, or nothing has been measured yet.
    """
    results = Results(folder)
    if not results.experiments:
        raise RequestError(f"{folder} has no results yet")
    return judge(CLAIMS, Evidence(results.records, results.tables))


def overview(judged: list[Judged]) -> pd.DataFrame:
    """A row a claim: what is claimed, what was measured, the verdict."""
    return pd.DataFrame(
        {
            "claim": one.claim.words,
            "in the paper": one.claim.where,
            "measured here": one.measured,
            "verdict": f"{one.verdict}: {one.when}" if one.when else one.in_short,
            "measured by": one.claim.command,
        }
        for one in judged
    )


def case_table(judged: Judged) -> pd.DataFrame:
    """A row a case of one claim."""
    rows = [
        {
            "case": case.where,
            judged.claim.quantity: show(case.value, judged.claim.number),
            "": ANSWERS[case.holds],
            "note": case.note,
        }
        for case in judged.cases
    ]
    table = pd.DataFrame(rows)
    return (
        table
        if any(case.note for case in judged.cases)
        else table.drop(columns="note", errors="ignore")
    )


def write_page(folder: Path, judged: list[Judged]) -> list[Path]:
    """Write ``claims/claims.html`` and ``claims/claims.md`` into a run's folder.

    Returns:
        The pages written.
    """
    target = folder / FOLDER
    target.mkdir(exist_ok=True)
    shown = {
        **about(Results(folder)),
        "title": "The paper, claim by claim",
        "run": folder.name,
        "overview": overview(judged),
        "judged": judged,
        "case_table": case_table,
    }
    pages = [target / "claims.html", target / "claims.md"]
    for page in pages:
        text = templates().get_template(f"{page.name}.j2").render(**shown).encode()
        page.write_bytes(text)
    return pages
