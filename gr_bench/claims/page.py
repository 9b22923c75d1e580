"""The claims of one run or of several on a page, in the terminal and as JSON."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from math import isfinite
from pathlib import Path
from typing import Any

import pandas as pd

from gr_bench.claims import CLAIMS
from gr_bench.claims.base import Case, Claim, Evidence, show
from gr_bench.claims.verdict import NOT_TESTED, Judged, Part, judge
from gr_bench.errors import RequestError
from gr_bench.reports.page import about
from gr_bench.reports.pages import templates
from gr_bench.runs.about import NODES
from gr_bench.runs.results import Results
from gr_bench.version import __version__

FOLDER = "claims"
WIDTH = 80
"""Columns of the terminal's lines."""

READING = (
    "A verdict applies to the models, data and devices that it names, and to no others. "
    "Intervals are individual 95 % intervals: if nothing differs, about one case in twenty will "
    "appear to."
)


@dataclass(frozen=True)
class JudgedRun:
    """A run and its verdicts. Times and results are compared within it, never across runs."""

    name: str
    device: str
    date: str
    facts: dict[str, str]
    judged: Sequence[Judged]

    @property
    def title(self) -> str:
        """The run, its device and its date."""
        return f"{self.name}: {self.device}, {self.date}"


def judge_runs(folders: Sequence[Path]) -> list[JudgedRun]:
    """Every claim, judged by what each run has so far.

    Raises:
        RequestError: a folder is not a run's, or is named twice, or nothing has been measured yet.
    """
    names = [folder.name for folder in folders]
    runs = []
    for folder in folders:
        if [f.resolve() for f in folders].count(folder.resolve()) > 1:
            raise RequestError(f"{folder} is given twice: name each run once")
        results = Results(folder)
        if not results.experiments:
            raise RequestError(f"{folder} has no results yet")
        runs.append(
            JudgedRun(
                name=folder.name if names.count(folder.name) == 1 else str(folder),
                device=", ".join(_devices(results)),
                date=results.about["started"][:10],
                facts=about(results)["facts"],
                judged=judge(CLAIMS, Evidence(results.records, results.tables)),
            )
        )
    return runs


def _devices(results: Results) -> list[str]:
    """The devices that a run's records are from, each once: its machine's, or nodes' of a
    cluster.
    """
    nodes = results.about.get(NODES, {})
    used = {r.conditions.node if r.conditions else None for r in results.records}
    environments = [results.about["environment"]] if None in used - nodes.keys() else []
    environments += [own for name, own in nodes.items() if name in used]
    devices = [own["device"] for own in environments]
    return [*dict.fromkeys(f"{own.get('name') or 'unknown'} ({own['kind']})" for own in devices)]


def overall(runs: Sequence[JudgedRun]) -> list[Judged]:
    """Every claim with the cases of all runs, each case named with its run if there are several."""
    if len(runs) == 1:
        return list(runs[0].judged)
    return [
        Judged(
            together[0].claim,
            [
                replace(case, where=f"{case.where} ({run.name})")
                for run, one in zip(runs, together, strict=True)
                for case in one.cases
            ],
        )
        for together in zip(*(run.judged for run in runs), strict=True)
    ]


def in_a_run(judged: Judged) -> str:
    """The verdict and the range of what one run measured, for a column of its own."""
    if not judged.cases:
        return NOT_TESTED
    inside, outside = judged.inside, judged.outside
    if judged.claim.scope.is_everywhere:
        return _with_range(inside, "")
    texts = [_with_range(inside, " in the paper's setting")] if inside.cases else []
    place = " outside it" if texts else " outside the paper's setting"
    return "; ".join([*texts, _with_range(outside, place)] if outside.cases else texts)


def _with_range(part: Part, place: str) -> str:
    measured = f": {part.measured}" if part.measured else ""
    return f"{part.verdict}{place}{measured}"


def by_source(judged: Sequence[Judged]) -> list[tuple[str, list[Judged]]]:
    """The claims of each source, in order."""
    return [(name, list(own)) for name, own in groupby(judged, lambda one: one.claim.source)]


def tested_sources(judged: Sequence[Judged]) -> list[tuple[str, list[Judged]]]:
    """The claims of each source of which some is tested; of all sources if none is."""
    sources = by_source(judged)
    return [pair for pair in sources if any(one.cases for one in pair[1])] or sources


def untested(judged: Sequence[Judged]) -> str:
    """The sources that :func:`tested_sources` leaves out, in words; empty if there are none."""
    shown = {name for name, _ in tested_sources(judged)}
    left = [(name, own) for name, own in by_source(judged) if name not in shown]
    if not left:
        return ""
    names = "; ".join(f"{name.partition(',')[0]} ({len(own)} claims)" for name, own in left)
    suites = dict.fromkeys(one.claim.command.split()[2] for _, own in left for one in own)
    commands = " or ".join(f"gr-bench run {suite}" for suite in suites)
    return f"Not tested by these records: {names}. To test them: {commands}."


def lines(runs: Sequence[JudgedRun]) -> Iterator[str]:
    """The verdicts for a terminal of 80 columns."""
    for run in runs:
        yield from _wrapped(run.title, "", "  ")
    own = {run.name: {one.claim.name: one for one in run.judged} for run in runs}
    for source, claims in tested_sources(overall(runs)):
        yield ""
        yield from _wrapped(source, "", "")
        for one in claims:
            yield ""
            yield from _wrapped(one.claim.words, "- ", "  ")
            for line in [*one.lines, *one.which_lines]:
                yield from _wrapped(line, "    ", "      ")
            if len(runs) > 1 and one.cases:
                for run in runs:
                    text = f"{run.name}: {in_a_run(own[run.name][one.claim.name])}"
                    yield from _wrapped(text, "    ", "      ")
    if left_out := untested(overall(runs)):
        yield ""
        yield from _wrapped(left_out, "", "")
    yield ""
    yield from _wrapped(READING, "", "")


def _wrapped(text: str, first: str, rest: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False
    )


def as_json(runs: Sequence[JudgedRun]) -> str:
    """Every claim with its verdict, and the cases of every run."""
    claims = [
        {
            "name": one.claim.name,
            "source": one.claim.source,
            "words": one.claim.words,
            "setting": one.claim.scope.words,
            "size": one.claim.size,
            "rule": one.claim.rule,
            "verdict": one.in_short,
            "lines": one.lines,
            "runs": {run.name: _run_as_json(run.judged[place]) for run in runs},
        }
        for place, one in enumerate(overall(runs))
    ]
    told = [{"name": r.name, "device": r.device, "date": r.date} for r in runs]
    return json.dumps({"runs": told, "claims": claims}, indent=2, ensure_ascii=False)


def _run_as_json(judged: Judged) -> dict[str, Any]:
    cases = [_case_as_json(judged.claim, case) for case in judged.cases]
    return {"verdict": judged.in_short, "cases": cases}


def _case_as_json(claim: Claim, case: Case) -> dict[str, Any]:
    ends = zip(("value", "low", "high"), case.value, strict=True)
    return {
        "case": case.where,
        **{key: number if isfinite(number) else None for key, number in ends},
        "answer": claim.answers[case.answer].in_full,
        "in_scope": claim.scope.contains(case.setting),
        "device": case.setting.device,
        "note": case.note,
    }


def overview(runs: Sequence[JudgedRun], judged: Sequence[Judged]) -> pd.DataFrame:
    """A row a claim: the verdict over all runs, and a column for what each of them says."""
    names = [one.claim.name for one in judged]
    own = {run.name: [r for r in run.judged if r.claim.name in names] for run in runs}
    rows = []
    for place, one in enumerate(judged):
        row = {"claim": one.claim.words, "verdict": one.in_short}
        row |= {run.title: in_a_run(own[run.name][place]) for run in runs}
        rows.append(row)
    return pd.DataFrame(rows)


def case_table(judged: Judged) -> pd.DataFrame:
    """A row a case of one claim."""
    claim = judged.claim
    rows = [
        {
            "case": case.where,
            "device": case.setting.device,
            "paper's setting": "yes" if claim.scope.contains(case.setting) else "no",
            claim.quantity: show(case.value, claim.number),
            "verdict": claim.answers[case.answer].in_full,
            "note": case.note,
        }
        for case in judged.cases
    ]
    table = pd.DataFrame(rows)
    spare = [] if any(case.note for case in judged.cases) else ["note"]
    if claim.scope.is_everywhere:
        spare.append("paper's setting")
    return table.drop(columns=spare, errors="ignore")


def write_page(folder: Path, runs: Sequence[JudgedRun]) -> list[Path]:
    """Write ``claims.html`` and ``claims.md`` into a folder, which is made if need be.

    Returns:
        The pages written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shown = {
        "title": "Claims, one by one",
        "runs": runs,
        "sources": tested_sources(overall(runs)),
        "untested": untested(overall(runs)),
        "overview": overview,
        "case_table": case_table,
        "reading": READING,
        "version": __version__,
    }
    pages = [folder / "claims.html", folder / "claims.md"]
    for page in pages:
        text = templates().get_template(f"{page.name}.j2").render(**shown).encode()
        page.write_bytes(text)
    return pages
