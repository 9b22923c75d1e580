"""Questions that nobody claims an answer to: F-GR or SAM, and GR or a longer training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from gr_bench import stats
from gr_bench.claims.base import (
    USERS,
    Answer,
    Case,
    Claim,
    Evidence,
    ahead,
    measured_by,
    question_words,
)
from gr_bench.claims.cost import step_pairs, step_times, time_log_ratios
from gr_bench.claims.scope import ANYWHERE, setting_of
from gr_bench.claims.trainings import Runs, lost_in_words, points, workload_in_words, workloads
from gr_bench.experiments.generalization.analysis.equal_cost import EQUAL_TIME_TOLERANCE
from gr_bench.stats import Interval

POINT = 1.0
"""The smallest difference in test accuracy that matters, in percentage points."""

FASTER = 1.02
"""The smallest ratio of step times that matters."""

FORWARD, SAM, SGD = "f-gr", "sam", "sgd"

Pairs = Callable[[Evidence, list[Runs]], Iterator[tuple[Runs, Runs, str]]]
"""Two methods' trainings in one workload, and a note."""


def _rivals(runs: list[Runs], first: str, second: str) -> Iterator[tuple[Runs, Runs]]:
    """Every training length of two methods, where there is one setting of that length: chosen on
    the validation part, or the only one that was tried. The best of several by their test results
    is none.
    """
    sides = [[one for one in runs if one.method == name] for name in (first, second)]
    alone = [
        [one for one in side if [r.cell.epochs for r in side].count(one.cell.epochs) == 1]
        for side in sides
    ]
    yield from ((own, base) for own in alone[0] for base in alone[1])


def _apart(a: float, b: float) -> float:
    """Relative difference of two costs; NaN if one is not known."""
    return abs(a / b - 1)


def _at_equal_epochs(evidence: Evidence, runs: list[Runs]) -> Iterator[tuple[Runs, Runs, str]]:
    pairs = [p for p in _rivals(runs, FORWARD, SAM) if p[0].cell.epochs == p[1].cell.epochs]
    if pairs:  # the longer ones are for equal cost with others
        own, base = min(pairs, key=lambda pair: pair[0].cell.epochs)
        yield own, base, f"{own.cell.epochs} epochs each"


def _in_equal_time(evidence: Evidence, runs: list[Runs]) -> Iterator[tuple[Runs, Runs, str]]:
    """The pair whose times, by steps timed in the same rounds, differ least, by 5 % at most."""
    found = []
    for own, base in _rivals(runs, FORWARD, SAM):
        step = _step_time(evidence, own) / _step_time(evidence, base)
        apart = _apart(step * own.cell.epochs, base.cell.epochs)
        if apart <= EQUAL_TIME_TOLERANCE:
            found.append((apart, own, base, step))
    if found:
        _, own, base, step = min(found, key=lambda pair: pair[0])
        lengths = f"{own.cell.epochs} and {base.cell.epochs} epochs"
        yield own, base, f"{lengths}, a step of F-GR takes {step:.3f} of SAM's time"


def _step_time(evidence: Evidence, runs: Runs) -> float:
    """The time of a step over that of the baseline of its workload; NaN if it was not timed."""
    table = evidence.tables["generalization"]
    cell = runs.cell
    fields: dict[str, Any] = {
        key: getattr(cell, key)
        for key in ("spec", "model", "dataset", "batch_size", "epochs", "role", "baseline")
    }
    fields |= {"device": cell.device, "dtype": cell.dtype, "threads": cell.threads}
    for key, value in fields.items():
        table = table[table[key] == value]
    times = table["step_time_ratio"].dropna()
    return float(times.iloc[0]) if len(times) else float("nan")


def _at_equal_evaluations(evidence: Evidence, runs: list[Runs]) -> Iterator[tuple[Runs, Runs, str]]:
    """F-GR's shortest training, and SGD's whose gradient evaluations are nearest to as many."""
    shortest = min((own.cell.epochs for own, _ in _rivals(runs, FORWARD, SGD)), default=0)
    found = []
    for own, base in _rivals(runs, FORWARD, SGD):
        apart = _apart(own.evaluations, base.evaluations)
        if own.cell.epochs == shortest and apart <= EQUAL_TIME_TOLERANCE:
            found.append((apart, own, base))
    if found:
        _, own, base = min(found, key=lambda pair: pair[0])
        yield own, base, f"{own.cell.epochs} epochs of F-GR, {base.cell.epochs} of SGD"


def _accuracy(pairs: Pairs, evidence: Evidence) -> list[Case]:
    cases = []
    for runs in workloads(evidence):
        for own, base, how in pairs(evidence, runs):
            value, pairs_in_words = points(own, base)
            where = f"{workload_in_words(own.cell)}: {own.cell.spec}, {base.cell.spec}"
            note = "; ".join(filter(None, [how, pairs_in_words, lost_in_words(own, base)]))
            answer = _answer(own, base, value)
            cases.append(Case(where, value, answer, setting_of(own.cell), note))
    return cases


def _answer(own: Runs, base: Runs, value: Interval) -> Answer:
    """By the interval; where one side alone lost every run, the other is ahead."""
    if bool(own.done) != bool(base.done):
        return "first" if own.done else "second"
    return ahead(value, -POINT, POINT)


def _step_times(evidence: Evidence) -> list[Case]:
    times, cases = step_times(evidence), []
    for f_gr, sam in step_pairs(evidence, FORWARD, SAM):
        logs = time_log_ratios(times, sam, f_gr)
        if logs:
            value = stats.ratio_interval(list(logs.values()))
            setting = setting_of(f_gr)
            answer = ahead(value, 1 / FASTER, FASTER)
            cases.append(Case(str(setting), value, answer, setting))
    return cases


BY_ACCURACY = (
    "{} are paired by seed and split; each with the hyper-parameters chosen on the validation "
    "part, or the only ones tried. One is ahead if the 95 % interval of the difference in test "
    f"accuracy is on its side of 0, and not entirely within {POINT:g} point of it, or if only "
    f"the other lost all runs; within {POINT:g} point there is no difference of a point or more; "
    "otherwise nothing can be said."
)


def _question(name: str, words: str, who: str, first: str, second: str, pairs: Pairs) -> Claim:
    return Claim(
        name=name,
        words=words,
        where="",
        source=USERS,
        scope=ANYWHERE,
        size=f"{POINT:g} point of test accuracy (our choice).",
        command=measured_by("generalization", "claims-generalization"),
        quantity=f"test accuracy of {first} minus {second}'s (points)",
        number="{:+.2f}",
        rule=BY_ACCURACY.format(who),
        cases=partial(_accuracy, pairs),
        answers=question_words(first, second, "a point"),
    )


QUESTIONS = (
    _question(
        "f-gr-or-sam",
        "Which generalises better, F-GR or SAM, at equal epochs and therefore equal gradient "
        "evaluations?",
        "Trainings of F-GR and SAM with the same number of epochs (both take two evaluations "
        "per step)",
        "F-GR",
        "SAM",
        _at_equal_epochs,
    ),
    _question(
        "f-gr-or-sam-in-equal-time",
        "Which generalises better in equal time, F-GR or SAM?",
        "Trainings of F-GR and SAM whose epochs times measured step time differ by at most "
        f"{100 * EQUAL_TIME_TOLERANCE:g} %",
        "F-GR",
        "SAM",
        _in_equal_time,
    ),
    Claim(
        name="f-gr-or-sam-step",
        words="Which takes less time per step, F-GR or SAM?",
        where="",
        source=USERS,
        scope=ANYWHERE,
        size=f"{100 * (FASTER - 1):g} % of a step's time (our choice).",
        command=measured_by("step_cost", "claims-cost"),
        quantity="time of SAM over F-GR",
        number="{:.3f}",
        rule="The time ratio is computed round by round, with its 95 % interval over freshly "
        "started processes. F-GR is ahead if the interval is above 1, SAM is ahead if it "
        f"is below, and there is no difference of {100 * (FASTER - 1):g} % or more if it is "
        "within that margin of 1.",
        cases=_step_times,
        answers=question_words("F-GR", "SAM", f"{100 * (FASTER - 1):g} %"),
    ),
    _question(
        "gr-or-longer-sgd",
        "Is GR worth its second gradient? Which generalises better, F-GR or SGD trained twice "
        "as long?",
        "Trainings of F-GR, and of SGD with as many gradient evaluations (within 5 %),",
        "F-GR",
        "SGD",
        _at_equal_evaluations,
    ),
)
