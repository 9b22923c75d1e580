"""A bisection in plain text, 80 characters wide."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from gr_bench.comparison.bisection.bisection import Bisection
from gr_bench.comparison.bisection.path import Commit
from gr_bench.comparison.findings import COUNTERS, Finding
from gr_bench.comparison.pages import words

WIDTH = 80


def lines(found: Bisection) -> list[str]:
    """The commits that were tested, the verdict, and what to do next."""
    if found.search is None:
        return _wrapped(*_without_search(found))
    tested = [*_tested(found), ""] if found.tested else []
    return [*tested, *_wrapped(*_whole(found), *_verdict(found), *_next(found))]


def _wrapped(*texts: str) -> list[str]:
    """Lines of at most 80 characters; those that go on are indented."""
    found = []
    for text in texts:
        indent = " " * (len(text) - len(text.lstrip()))
        found += textwrap.wrap(
            text.lstrip(),
            WIDTH,
            initial_indent=indent,
            subsequent_indent=f"{indent}  ",
            break_on_hyphens=False,
        )
    return found


def _without_search(found: Bisection) -> Iterator[str]:
    worse = f"slower or larger than {found.good} by {100 * found.threshold:g} %"
    if found.whole is None:
        yield f"Interrupted before it was known whether {found.bad} is {worse}."
        return
    if found.whole.undecided:
        yield f"It is not known whether {found.bad} is {worse}."
    else:
        yield f"{found.bad} is not {worse}."
    yield found.whole.headline
    for note in found.whole.notes:
        yield f"- {note}"
    if found.whole.undecided:
        yield "next: the same with a larger --budget, or on a quieter machine"


def _tested(found: Bisection) -> Iterator[str]:
    """A line for every commit that was tested, the oldest first."""
    assert found.search is not None
    assert found.target is not None
    counter = found.target.counter
    said = {"slower": f"more {COUNTERS[counter]}" if counter else "slower"}
    said["as before"] = "as before"
    rows = []
    for position, tested in sorted(found.tested.items()):
        word = said.get(found.search.answers.get(position, ""), "not clear")
        ratio = found.ratio(position)
        change = words.relative(ratio) if ratio else "-"
        rows.append((found.path[position], change, word, tested.why_skipped))
    width = max(len(change) for _, change, _, _ in rows)
    word_width = max(map(len, said.values()))
    for commit, change, word, why in rows:
        if why:
            yield _cut(f"{commit.short}  cannot be measured: {why} ({commit.subject})")
        else:
            padded = f"{change.ljust(width)}  {word.ljust(word_width)}"
            yield _cut(f"{commit.short}  {padded}  {commit.subject}")


def _whole(found: Bisection) -> Iterator[str]:
    finding = found.finding(found.whole)
    assert finding is not None
    assert found.target is not None
    assert found.whole is not None
    yield f"{found.good} -> {found.bad}: {_what(found, finding)}"
    for note in (*found.whole.notes, *found.notes):
        yield f"- {note}"


def _verdict(found: Bisection) -> Iterator[str]:
    assert found.search is not None
    commits = len(found.search.candidates)
    before, last = found.path[found.search.low], found.path[found.search.high]
    match found.outcome:
        case "culprit" | "unconfirmed":
            yield from _of_culprit(found, last)
        case "spread":
            yield (
                f"It came bit by bit: between {before.short} and {last.short} ({commits} commits) "
                "less than the threshold is left, so none of them has done it alone."
            )
        case "skipped":
            yield (
                f"One of these {commits} commits did it; which one is not known, since those "
                "between cannot be measured:"
            )
            yield from (f"  {_about(found.path[p])}" for p in found.search.candidates)
            yield from _alone(found, f"{before.short} -> {last.short}")
        case outcome:
            why = "Interrupted" if outcome == "interrupted" else "The time ran out"
            if found.culprit:
                yield f"{why} before it was confirmed; the only commit that is left:"
                yield f"  {_about(last)}"
            else:
                yield (
                    f"{why}: it is not known which one of {commits} commits did it, after "
                    f"{before.short} up to {last.short}."
                )


def _of_culprit(found: Bisection, culprit: Commit) -> Iterator[str]:
    yield _about(culprit)
    yield from _alone(found, "against its parent")
    if found.outcome == "unconfirmed":
        yield f"Not confirmed: alone it was not shown to be worse by {100 * found.threshold:g} %."
        first, last = found.rising
        if last - first > 1:
            yield (
                f"It may have come in several of the {last - first} commits after "
                f"{found.path[first].short} up to {found.path[last].short}."
            )
        return
    yield "Confirmed."
    if found.elsewhere:
        yield f"Not by this commit: {', '.join(found.elsewhere)}."
    if found.is_part:
        yield "It is a part of the whole: the rest came in other commits."


def _alone(found: Bisection, between: str) -> Iterator[str]:
    """The comparison of the range's ends: what changed, and how the target stands."""
    if found.alone is None:
        return
    target = found.finding(found.alone)
    for finding in found.alone.findings:
        if finding is target or finding.changed:
            yield f"  {between}, {finding.name}: {_words(found, finding)}"
            yield from (f"    {change}" for change in finding.changes)
    for note in found.alone.notes:
        yield f"  - {note}"


def _next(found: Bisection) -> Iterator[str]:
    assert found.search is not None
    before, last = found.path[found.search.low], found.path[found.search.high]
    if found.culprit:
        yield f"next: git show {last.short}"
    elif found.search.middle is None or found.is_spread:
        yield f"next: git log --patch {before.short}..{last.short}"
    else:
        yield f"next: gr-bench bisect {before.short} {last.short}, with a larger --budget"


def _what(found: Bisection, finding: Finding) -> str:
    """The target in a comparison of all commits."""
    assert found.target is not None
    for change in finding.changes:
        if change.counter == found.target.counter:
            return f"{finding.name}: {change}"
    return f"{finding.name}: {_words(found, finding)}"


def _words(found: Bisection, finding: Finding) -> str:
    return f"{words.verdict(finding, found.threshold)}, {words.change(finding)}"


def _about(commit: Commit) -> str:
    return f"{commit.short} {commit.date} {commit.subject}"


def _cut(line: str) -> str:
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 3]}..."
