"""The last lines of a run: what was done, found, and not known, in words with numbers."""

from __future__ import annotations

from gr_bench.runs.results import Results


def last_words(results: Results) -> list[str]:
    """Sentences for the end of a run, made from its tables by each experiment's rules."""
    outcome = results.outcome
    assert outcome is not None
    lines = [
        f"source of {where} changed since: "
        f"{'measured anew' if outcome.measured_now else 'its results exist'}; those of the other "
        "source stay in the journal and appear in no table"
        for where in outcome.changed
    ]
    if not outcome.measured_now and not outcome.left:
        lines.append("everything is already measured; --fresh starts over")
    for experiment in results.experiments.values():
        lines += experiment.findings(results.tables)
    for experiment in results.experiments.values():
        lines += [f"Note: {line}" for line in experiment.warnings(results.tables)]
    if outcome.left:
        units = ", ".join(f"{count} of {kind}" for kind, count in sorted(outcome.left.items()))
        lines.append(f"The time budget ran out: at least {units} are left.")
    summary = f"{outcome.cells} cells in {outcome.folder}"
    if outcome.unsupported:
        lines.append(f"{outcome.unsupported} of {summary} are unsupported, as recorded")
    if outcome.failed:
        lines.append(f"{outcome.failed} of {summary} failed: see its failures table")
    else:
        lines.append(summary)
    return lines
