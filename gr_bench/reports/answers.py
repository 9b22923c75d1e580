"""The answers at the head of a report, each made from the run's tables by a rule."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gr_bench.claims.base import Evidence
from gr_bench.claims.questions import QUESTIONS
from gr_bench.claims.verdict import Part, judge
from gr_bench.experiments import style
from gr_bench.runs.costs_and_gains import (
    AT_COST,
    Gain,
    baseline_in_words,
    gains,
    is_baseline,
    ratio_in_words,
    step_times,
    timed_workloads,
)
from gr_bench.runs.results import Results
from gr_bench.runs.store import journal_of
from gr_bench.stats import Interval
from gr_bench.units import counted

NOT_MEASURED = "not measured in this run"
NOT_KNOWN = "nothing can be said"
MOST = 4
"""Methods that a sentence names; of more, it gives the number."""


@dataclass(frozen=True)
class Answer:
    """A question that readers come with, and what the run says."""

    question: str
    short: str
    """In a few words."""

    text: str
    """In a sentence, with numbers and intervals; empty if there is nothing to add."""


def answers(results: Results) -> list[Answer]:
    """Three answers: on cost, on generalization, and F-GR beside SAM."""
    return [_cost(results), _generalization(results), _forward_or_sam(results)]


def _cost(results: Results) -> Answer:
    """The baseline and the method of the shortest step, with those whose intervals overlap its own,
    in their order, and the method of the longest.

    Those that overlap are *not distinguishable*, which is not the same as alike.
    """
    question = "Which method takes the least time per step?"
    if "step_cost" not in results.experiments:
        return Answer(question, NOT_MEASURED, "")
    ratios = step_times(results.tables)
    if not ratios:
        return Answer(question, NOT_KNOWN, _no_ratios(results))
    names = style.short(ratios)
    order = sorted(ratios, key=lambda spec: ratios[spec].center)
    first, last = order[0], order[-1]
    near = [spec for spec in order[1:] if ratios[spec].low <= ratios[first].high]
    base = _timed_baseline(results)
    over = counted(timed_workloads(results.tables), "workload")
    text = (
        f"{names[first]} takes {ratio_in_words(ratios[first])} times {base}'s time (mean of {over}"
    )
    text += "; 95 % interval)"
    if near:
        told = _list(f"{names[s]} {ratio_in_words(ratios[s])}" for s in near)
        text += f"; {told} {'is' if len(near) == 1 else 'are'} not distinguishable from it"
    if last not in (first, *near):
        text += f"; {names[last]} takes the most, {ratio_in_words(ratios[last])}"
    if any(math.isnan(ratio.low) for ratio in ratios.values()):
        why = "some ratio is from a single process, which gives no interval"
        return Answer(question, NOT_KNOWN, f"{text}, but {why}.")
    shortest = [first, *near]
    if ratios[first].low > 1:
        short = f"{base}, then {_list(names[s] for s in shortest)}: {_range(shortest, ratios)}"
        return Answer(question, f"{short} times {base}'s time", f"{text}.")
    if ratios[first].high >= 1:
        short = f"{_list([base, *(names[s] for s in shortest)])}: not distinguishable"
    elif near:
        short = f"{_list(names[s] for s in shortest)}: not distinguishable"
    else:
        short = f"{names[first]}: {ratios[first].center:.2f} times {base}'s time"
    return Answer(question, short, f"{text}.")


def _timed_baseline(results: Results) -> str:
    """The name of the method that step times are relative to."""
    table = results.tables["step_cost"]
    own = table[~table["control"].astype(bool)]
    specs = own.loc[is_baseline(own), "spec"].unique()
    return baseline_in_words(str(specs[0])) if len(specs) == 1 else "the baseline"


def _range(specs: Sequence[str], ratios: Mapping[str, Interval]) -> str:
    """The smallest and the largest ratio, or one where both print alike."""
    centers = sorted(f"{ratios[spec].center:.2f}" for spec in specs)
    return centers[0] if centers[0] == centers[-1] else f"{centers[0]} to {centers[-1]}"


def _no_ratios(results: Results) -> str:
    """The reason for which no ratio of times can be given for all methods."""
    table = results.tables["step_cost"]
    own = table[~table["control"].astype(bool)]
    if not own["time_ms"].notna().any():
        counts = own["status"].value_counts()
        lost = ", ".join(f"{count} {status}" for status, count in counts.items())
        return f"No step was timed: of {counted(len(own), 'cell')}, {lost or 'none has a result'}."
    if (own["time_ratio"].notna() & ~is_baseline(own)).any():
        return "No workload was timed with all methods; the ratios of each are below."
    return "No method was timed together with the baseline."


def _generalization(results: Results) -> Answer:
    """The method that is furthest ahead of the baseline among those that are, by their verdicts."""
    question = "Which method generalises best?"
    if "generalization" not in results.experiments:
        return Answer(question, NOT_MEASURED, "")
    found = gains(results.tables)
    if found is None:
        return Answer(question, NOT_KNOWN, "No method was compared with a baseline.")
    sides = {
        word: [own for own in found.methods if own.verdict == word] for word in ("ahead", "behind")
    }
    rest = [own for own in found.methods if own.verdict not in sides]
    base = baseline_in_words(found.baseline)
    what = f"Test accuracy minus {base}'s, points"
    if found.of_errors:
        what = f"Test errors removed relative to {base}, % (minus: more errors)"
    where = (
        f"{AT_COST[found.cost]} ({counted(found.workloads, 'workload')}, {found.seeds} seeds, "
        f"hyper-parameters {'chosen on the validation part' if found.chosen else 'as given'})"
    )
    names = style.short(own.method for own in found.methods)
    parts = [
        f"{words}: {_list(f'{names[o.method]} {_gain(o)}' for o in own)}"
        for words, own in (
            (f"ahead of {base}", sides["ahead"]),
            (f"behind {base}", sides["behind"][::-1]),
            ("undecided", rest),
        )
        if own
    ]
    if sides["ahead"]:
        short = f"{names[sides['ahead'][0].method]}, of those that are ahead of {base}"
        if len(sides["ahead"]) == 1:
            short = f"{names[sides['ahead'][0].method]}: ahead of {base}"
    elif rest:
        short = f"Not known: no method is shown to be ahead of {base}"
    else:
        short = f"{base}: all methods are behind it"
    text = f"{what}, {where}: {'; '.join(parts)}."
    apart = [names[own.method] for own in rest if own.value.low > 0 or own.value.high < 0]
    if apart:
        text += (
            f" The interval of {_list(apart)} excludes 0 but is not significant at a 5 % "
            "false-discovery rate over all comparisons."
        )
    return Answer(question, f"{short} {AT_COST[found.cost]}", text)


def _gain(own: Gain) -> str:
    center, low, high = (100 * end for end in own.value)
    if math.isnan(center):
        return "(no two runs to compare)"
    if not math.isfinite(high - low):
        return f"{center:+.1f} (no interval)"
    return f"{center:+.1f} [{low:+.1f}, {high:+.1f}]"


def _forward_or_sam(results: Results) -> Answer:
    """The verdicts on the questions of :mod:`gr_bench.claims.questions` that speak of both."""
    question = "F-GR or SAM?"
    records = results.records if journal_of(results.folder) is not None else []
    evidence = Evidence(records, results.tables)
    judged = [
        (words, own.inside)
        for (name, words), own in zip(
            FORWARD_OR_SAM.items(),
            judge([by_name[name] for name in FORWARD_OR_SAM], evidence),
            strict=True,
        )
        if own.cases
    ]
    if not judged:
        return Answer(question, NOT_MEASURED, "")
    short = "; ".join(f"{words}: {_head(part)}" for words, part in judged)
    text = " ".join(
        f"{_upper(words)}{_rest(part)}: {part.claim.quantity} {part.measured}, by workload."
        for words, part in judged
    )
    return Answer(question, _upper(short), text)


def _head(part: Part) -> str:
    """The answer in short; where cases differ, the number of each answer but of those open."""
    if len(part.counts) < 2:
        return part.head
    decided = [r for answer, r in zip(part.counts, part.remarks, strict=True) if answer != "open"]
    return ", ".join(decided)


def _rest(part: Part) -> str:
    """The cases that :func:`_head` leaves out."""
    counts = part.counts
    if len(counts) < 2 or "open" not in counts:
        return ""
    return f" ({counts['open']} of {len(part.cases)} undecided)"


by_name = {claim.name: claim for claim in QUESTIONS}
FORWARD_OR_SAM = {
    "f-gr-or-sam-step": "time per step",
    "f-gr-or-sam-in-equal-time": "accuracy in equal time",
    "f-gr-or-sam": "accuracy at equal epochs",
}
"""The questions about both, and what they ask for in a few words."""


def _list(words: Iterable[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``; of many, the first ones and the number of the others."""
    all_: Sequence[str] = list(words)
    if len(all_) > MOST + 1:
        all_ = [*all_[:MOST], f"{len(all_) - MOST} more"]
    *first, last = all_
    return f"{', '.join(first)} and {last}" if first else last


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
