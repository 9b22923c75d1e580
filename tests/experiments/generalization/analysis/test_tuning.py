"""Tuning curves against brute force, and what so many trials would have concluded."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import diverged, failed, trained, training

from gr_bench.experiments.generalization.analysis import tuning
from gr_bench.experiments.generalization.experiment import Generalization
from gr_bench.experiments.generalization.planning.selection import candidates, chosen
from gr_bench.experiments.generalization.record import Training
from gr_bench.experiments.lines import decode, encode
from gr_bench.experiments.record import Record

EXPERIMENT = Generalization()


def trial(number: int, validation: float, test: float, method: str = "sgd", **fields: Any) -> Any:
    """A trial by the two accuracies that its training ended with."""
    cell = training(method, learning_rate=0.1 + number / 1000, weight_decay=number / 100, **fields)
    cell = replace(cell, role="candidate", tuned=True, epochs=1)
    return trained(cell, train=(0.1, 1.0), test=(0.1, test), validation=[(0.1, validation)])


def trials(
    validation: Sequence[float], test: Sequence[float], method: str = "sgd", **fields: Any
) -> list[Record]:
    pairs = zip(validation, test, strict=True)
    return [trial(number, *pair, method, **fields) for number, pair in enumerate(pairs)]


def of(*records: Record) -> tuning.Tuning:
    (found,) = tuning.tunings(records)
    return found


# --- the curve


accuracies = st.integers(0, 100).map(lambda percent: percent / 100)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(accuracies, accuracies), min_size=1, max_size=7, unique_by=lambda x: x[0])
)
def test_the_curve_is_the_mean_over_all_subsets_of_the_test_accuracy_of_their_best(
    pairs: list[tuple[float, float]],
) -> None:
    curve = of(*trials(*zip(*pairs, strict=True))).curve
    for k in range(1, len(pairs) + 1):
        best = [max(subset)[1] for subset in itertools.combinations(pairs, k)]
        assert curve[k - 1] == pytest.approx(np.mean(best), abs=1e-12)


@pytest.mark.parametrize("count", [1, 2, 9, 64])
def test_some_trial_is_the_best(count: int) -> None:
    chances = tuning.best_of(count)
    assert chances.sum(axis=1) == pytest.approx(np.ones(count))
    assert chances[0] == pytest.approx(np.full(count, 1 / count))
    assert list(chances[-1]) == [1.0] + [0.0] * (count - 1)


def test_all_trials_find_what_selection_finds() -> None:
    records = trials([0.5, 0.9, 0.7], [0.6, 0.4, 1.0])
    ((_, ranked),) = candidates(records).items()
    assert of(*records).curve[-1] == 0.4 == ranked[0].tests[0]


def test_a_trial_that_diverged_counts_and_is_chosen_last() -> None:
    good, lost = trial(0, 0.2, 0.8), trial(1, 0.0, 0.0)
    found = of(good, diverged(lost.cell, 3))
    assert list(found.curve) == [0.4, 0.8]
    assert found.diverged == 1


def test_a_seed_that_diverged_is_no_right_answer_and_ranks_its_trial_last() -> None:
    half = [trial(0, 0.9, 0.8), diverged(trial(0, 0.9, 0.8, seed=1).cell, 3)]
    whole = [trial(1, 0.1, 0.5), trial(1, 0.1, 0.7, seed=1)]
    found = of(*half, *whole)
    assert list(found.accuracies) == pytest.approx([0.6, 0.4])


def test_trials_of_which_nothing_is_known_are_left_out() -> None:
    assert len(of(trial(0, 0.5, 0.5), failed(trial(1, 0, 0).cell)).accuracies) == 1
    assert tuning.tunings([failed(trial(1, 0, 0).cell)]) == []


def test_candidates_that_are_no_trials_have_no_curve() -> None:
    one = trial(0, 0.5, 0.5)
    plain = replace(one, cell=replace(one.cell, tuned=False), test_accuracy=None, test_loss=None)
    assert tuning.tunings([plain]) == []
    assert len(tuning.tuning_curves([plain])) == 0


# --- the interval


def test_the_interval_of_one_trial_is_that_of_student_where_trials_are_normal() -> None:
    """The mean's expanded bootstrap interval is the t-interval but for the bootstrap's noise."""
    rng = np.random.default_rng(1)
    ranked = rng.normal(size=30)
    own = replace(of(trial(0, 0.5, 0.5)), accuracies=ranked)
    found = tuning.expanded(own.resampled[:, 0], float(own.curve[0]), 30)
    exact = scipy.stats.ttest_1samp(ranked, 0.0).confidence_interval()
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=0.06)


def test_resamples_are_those_of_scipy() -> None:
    values = np.random.default_rng(2).random(12)
    own = replace(of(trial(0, 0.5, 0.5)), accuracies=values)
    for k in (1, 3, 6):
        weights = tuning.best_of(12)[k - 1]

        def best(ranks: Any, axis: int, weights: Any = weights) -> Any:
            return (values[np.sort(ranks, axis=axis)] * weights).sum(axis=axis)

        reference = scipy.stats.bootstrap(
            (np.arange(12),), best, n_resamples=4000, method="percentile", random_state=0
        )
        found = np.quantile(own.resampled[:, k - 1], [0.025, 0.975])
        assert found == pytest.approx(list(reference.confidence_interval), abs=0.02)


def test_of_one_trial_there_is_no_interval() -> None:
    (row,) = tuning.tuning_curves([trial(0, 0.5, 0.25)]).to_dict("records")
    assert (row["trials"], row["test_accuracy"]) == (1, 0.25)
    assert np.isnan([row["low"], row["high"]]).all()


@pytest.mark.slow
@pytest.mark.parametrize("count", [8, 16])
def test_methods_that_are_alike_are_seldom_told_apart(count: int) -> None:
    """Of one row at most 5 % are wrong, and a margin for chance; with random draws."""
    rng, studies = np.random.default_rng(3), 400
    wrong = np.zeros(count)
    for study in range(studies):
        sides = []
        for _ in range(2):
            place, other = rng.random((2, count))
            truth = 0.9 - 0.25 * (place - 0.6) ** 2 - 0.1 * other**2 - 0.3 * (place > 0.85)
            validation, test = truth + 0.01 * rng.normal(size=(2, count))
            own = of(trial(0, 0.5, 0.5, seed=study, batch_size=len(sides) + 1))
            sides.append(replace(own, accuracies=test[np.argsort(-validation)]))
        for k in range(count):
            apart = sides[0].resampled[:, k] - sides[1].resampled[:, k]
            found = tuning.expanded(apart, 0.0, count)
            wrong[k] += found.low > 0 or found.high < 0
    assert (wrong / studies <= 0.05 + 2.6 * np.sqrt(0.05 * 0.95 / studies)).all()


# --- budgets


def study(gain: float, **fields: Any) -> list[Record]:
    """Sixteen trials of SGD and of SAM, which is ahead by ``gain``."""
    rng = np.random.default_rng(0)
    truth = 0.5 + 0.05 * rng.normal(size=(2, 16))
    truth[1] += gain
    return [
        *trials(truth[0], truth[0], **fields),
        *trials(truth[1], truth[1], "sam", **fields),
    ]


@pytest.mark.parametrize(
    ("gain", "said"), [(0.3, "ahead"), (-0.3, "behind"), (0.0, tuning.NOTHING)]
)
def test_a_study_with_so_many_trials_says_what_is_so(gain: float, said: str) -> None:
    records = study(gain)
    tables = EXPERIMENT.tables(records)
    found = tables["tuning_budgets"]
    assert list(found["trials"]) == [1, 2, 4, 8, 16]
    assert set(found["said"]) == {said}
    one, other = (own.curve for own in tuning.tunings(records))
    expected = [other[k - 1] - one[k - 1] for k in found["trials"]]
    assert list(found["difference"]) == pytest.approx(expected)
    assert set(found["method"]) == {"sam"}


def test_numbers_of_trials_are_powers_of_two_and_all_of_them() -> None:
    assert [tuning.budgets(n) for n in (1, 2, 8, 12)] == [
        [1],
        [1, 2],
        [1, 2, 4, 8],
        [1, 2, 4, 8, 12],
    ]


def test_workloads_are_compared_each_for_itself() -> None:
    records = [*study(0.3, label_noise=0.0), *study(-0.3, label_noise=0.2, batch_size=8)]
    found = EXPERIMENT.tables(records)["tuning_budgets"]
    said = {noise: set(own["said"]) for noise, own in found.groupby("label_noise")}
    assert said == {0.0: {"ahead"}, 0.2: {"behind"}}


def test_longer_tunings_of_the_baseline_are_compared_at_equal_cost() -> None:
    records = study(0.1)
    longer = [
        replace(r, cell=replace(r.cell, epochs=2), curve=r.curve, test_accuracy=0.9)
        for r in records
        if isinstance(r, Training) and r.cell.spec == "sgd"
    ]
    finals = [
        trained(
            replace(training(method, seed=seed), role="chosen", tuned=True, epochs=epochs),
            train=(0.0, 1.0),
            test=(0.0, 0.5 + seed / 10),
            evaluations=evaluations,
            steps=10 * epochs,
        )
        for method, epochs, evaluations in (("sgd", 1, 1), ("sgd", 2, 1), ("sam", 1, 2))
        for seed in range(2)
    ]
    found = EXPERIMENT.tables([*records, *longer, *finals])["tuning_budgets"]
    lengths = {cost: set(own["baseline_epochs"]) for cost, own in found.groupby("cost")}
    assert lengths == {"epochs": {1}, "gradient evaluations": {2}}
    last = found[(found["cost"] == "gradient evaluations") & (found["trials"] == 16)]
    (sam,) = (own for own in tuning.tunings(records) if own.cell.spec != "sgd")
    assert last["difference"].item() == pytest.approx(sam.curve[-1] - 0.9)


def test_a_reader_is_shown_tuning() -> None:
    tables = EXPERIMENT.tables(study(0.3))
    (shown,) = [s for s in EXPERIMENT.summaries(tables) if s.name == "tuning_budgets"]
    assert {"1 trial", "2 trials", "16 trials"} <= set(shown.table)
    assert shown.table["1 trial"].str.contains(r"\*").all()
    assert not {"model", "dataset", "SGD's epochs"} & set(shown.table)
    assert shown.caption.startswith("In all rows: model `mlp`, dataset `")
    tables = EXPERIMENT.tables([*study(0.3), *study(0.3, dataset="other")])
    (shown,) = [s for s in EXPERIMENT.summaries(tables) if s.name == "tuning_budgets"]
    assert shown.table["dataset"].nunique() == 2
    assert shown.caption.startswith("In all rows: model `mlp`. ")


def test_the_figure_has_a_band_a_method() -> None:
    records = study(0.1)
    final = replace(training(), role="chosen", tuned=True)
    records.append(trained(final, train=(0.0, 1.0), test=(0.0, 0.5)))
    figures = {p.name: p.figure for p in EXPERIMENT.figures(EXPERIMENT.tables(records))}
    (ax,) = figures["tuning_curves_mlp"].axes
    assert len(ax.lines) == len(ax.collections) == 2
    assert list(ax.lines[0].get_xdata()) == list(range(1, 17))


# --- what is stored


def test_what_is_chosen_does_not_depend_on_the_test_part() -> None:
    rng = np.random.default_rng(4)
    records = [r for r in study(0.1) if isinstance(r, Training)]
    before = chosen(records)
    for _ in range(5):
        tests = rng.permutation([record.test_accuracy for record in records])
        others = [
            replace(record, test_accuracy=float(test), test_loss=float(1 - test))
            for record, test in zip(records, tests, strict=True)
        ]
        assert chosen(others) == before
        assert [r.cell.spec for r in others] == [r.cell.spec for r in records]


def test_cells_from_before_are_no_trials_and_keep_their_identity() -> None:
    record = trained(training(), train=(0.0, 1.0), test=(0.0, 0.5))
    line = json.loads(encode(record))
    assert "tuned" not in line["cell"]
    assert decode(encode(record)) == record
    own = trial(0, 0.5, 0.5)
    assert decode(encode(own)) == own
