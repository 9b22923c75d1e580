"""The answers at the head of a report, each made from the run's tables by a rule."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gr_bench.claims.base import Evidence
from gr_bench.claims.questions import QUESTIONS
from gr_bench.claims.verdict import Part, judge
from gr_bench.experiments import style
from gr_bench.runs.costs_and_gains import (
    AT_COST,
    Gain,
    gains,
    is_baseline,
    step_times,
    timed_workloads,
)
from gr_bench.runs.results import Results
from gr_bench.runs.store import journal_of
from gr_bench.stats import Interval

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
    """The method of the shortest step, with those whose intervals overlap its own, and the longest.

    Those that overlap are *not told apart*, which is not the same as alike.
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
    over = _count(timed_workloads(results.tables), "workload")
    text = f"{names[first]} takes {_times(ratios[first])} times the baseline's time (mean of {over}"
    text += "; 95 % interval)"
    if near:
        text += (
            f"; {_list(f'{names[s]} {_times(ratios[s])}' for s in near)} not distinguishable "
            "from it"
        )
    if last not in (first, *near):
        text += f"; {names[last]} takes the most, {_times(ratios[last])}"
    short = f"{names[first]}: {ratios[first].center:.2f} times the baseline"
    if any(math.isnan(ratio.low) for ratio in ratios.values()):
        why = "some ratio is from a single process, which gives no interval"
        return Answer(question, NOT_KNOWN, f"{text}, but {why}.")
    if near:
        short = f"{_list([names[first], *(names[s] for s in near)])}: not distinguishable"
    return Answer(question, short, f"{text}.")


def _no_ratios(results: Results) -> str:
    """The reason for which no ratio of times can be given for all methods."""
    table = results.tables["step_cost"]
    own = table[~table["control"].astype(bool)]
    if not own["time_ms"].notna().any():
        counts = own["status"].value_counts()
        lost = ", ".join(f"{count} {status}" for status, count in counts.items())
        return f"No step was timed: of {_count(len(own), 'cell')}, {lost or 'none has a result'}."
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
    base = "SGD" if found.baseline == "sgd" else found.baseline
    where = (
        f"{AT_COST[found.cost]} ({_count(found.workloads, 'workload')}, {found.seeds} seeds, "
        f"hyper-parameters {'chosen on the validation part' if found.chosen else 'as given'})"
    )
    what = f"{base}'s test errors removed, %" if found.of_errors else f"points over {base}"
    names = style.short(own.method for own in found.methods)
    parts = [
        f"{words}: {_list(f'{names[o.method]} {_gain(o)}' for o in own)}"
        for words, own in (
            (f"ahead of {base}", sides["ahead"]),
            (f"behind {base}", sides["behind"][::-1]),
            (NOT_KNOWN, rest),
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
    text = f"{_upper(where)}, in {what}: {'; '.join(parts)}."
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
        f"{_upper(words)}: {part.verdict}; {part.claim.quantity} {part.measured}."
        for words, part in judged
    )
    return Answer(question, _upper(short), text)


def _head(part: Part) -> str:
    """The answer in short; where some cases are open, that of the others with their number."""
    return part.remarks[0] if part.head == "partly open" else part.head


by_name = {claim.name: claim for claim in QUESTIONS}
FORWARD_OR_SAM = {
    "f-gr-or-sam-step": "time per step",
    "f-gr-or-sam-in-equal-time": "accuracy in equal time",
    "f-gr-or-sam": "accuracy at equal epochs",
}
"""The questions about both, and what they ask for in a few words."""


def _times(value: Interval) -> str:
    if value.low != value.low:
        return f"{value.center:.2f} (no interval)"
    return f"{value.center:.2f} [{value.low:.2f}, {value.high:.2f}]"


def _list(words: Iterable[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``; of many, the first ones and the number of the others."""
    all_: Sequence[str] = list(words)
    if len(all_) > MOST + 1:
        all_ = [*all_[:MOST], f"{len(all_) - MOST} more"]
    *first, last = all_
    return f"{', '.join(first)} and {last}" if first else last


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
