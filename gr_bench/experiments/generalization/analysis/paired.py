"""A method's trainings minus the baseline's, pair by pair: how large, and how sure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gr_bench import stats
from gr_bench.crossed import Components, crossed_mean
from gr_bench.experiments.generalization.bits import decode_bits
from gr_bench.experiments.generalization.record import Training

Quantity = Literal["test_accuracy", "test_loss", "gap_accuracy", "gap_loss"]

OVER_SAMPLES = "seeds, splits, test samples"
"""The interval speaks of other seeds, splits and samples of such data (:func:`crossed_mean`)."""

OVER_SPLITS = "seeds, splits (corrected)"
"""By :func:`~gr_bench.stats.corrected_resampled_t`; of the samples nothing is known one by one."""

OVER_SEEDS = "seeds alone"
"""By :func:`~gr_bench.stats.t_interval`: it speaks of this one split, not of other data."""

TEST_OVER_TRAIN = 1 / 3
"""n_test/n_train of a split of 60, 20 and 20 %, for trainings whose record does not tell."""


@dataclass(frozen=True)
class PairedComparison:
    """The mean difference of pairs of trainings, own minus base."""

    difference: float
    """NaN without a pair."""

    low: float
    """End of the 95 % interval; infinite with one pair."""

    high: float
    p: float
    """Two-sided; 1 with one pair."""

    pairs: int
    splits: int
    how: str
    """The things that the interval is over, in words: one of the constants here."""

    components: Components | None = None
    """Of the variance, where it was made from the test samples."""


def pair_up(own: Sequence[Training], base: Sequence[Training]) -> list[tuple[Training, Training]]:
    """The trainings of one seed and split, by seed; those that diverged are in no pair."""
    there = {_key(record): record for record in base if not record.diverged}
    both = [(r, there[_key(r)]) for r in own if not r.diverged and _key(r) in there]
    return sorted(both, key=lambda pair: _key(pair[0]))


def paired_comparison(
    own: Sequence[Training], base: Sequence[Training], quantity: Quantity = "test_accuracy"
) -> PairedComparison:
    """The mean over pairs of one seed and split of own minus base, with its 95 % interval.

    The differences of pairs are not independent: runs are tested on the same samples, all of them
    on one split, some where splits overlap. Where the records say which samples a run is right
    about, the interval is that of :func:`~gr_bench.crossed.crossed_mean` on own's hits minus
    base's, and speaks of other seeds, other samples and, with several splits, other splits. Other
    quantities, and records of before, have the corrected resampled t-interval over several splits,
    and Student's over the seeds of one, which does not speak of other data; ``how`` says which.
    With one split, no interval speaks of other training data.

    Args:
        own: trainings that differ in seed and split alone.
        base: those that they are compared with.
        quantity: the difference's; for ``gap_`` test - train of the loss, train - test of the
            accuracy.
    """
    both = pair_up(own, base)
    splits = len({record.cell.split_seed for record, _ in both})
    apart = [_value(a, quantity) - _value(b, quantity) for a, b in both]
    if not both:
        return PairedComparison(nan, nan, nan, nan, 0, 0, "")
    hits = _hit_differences(both) if quantity == "test_accuracy" else None
    if hits is not None:
        found = crossed_mean(hits)
        ends, p = found.interval, found.p
        components = found.components if len(both) > 1 else None
        return PairedComparison(*ends, p, len(both), splits, OVER_SAMPLES, components)
    if splits > 1:
        ends, p = stats.corrected_resampled_t(apart, _test_over_train(both[0][0]))
        return PairedComparison(*ends, p, len(both), splits, OVER_SPLITS)
    ends, p = stats.t_interval(apart), stats.p_value(apart)
    return PairedComparison(*ends, p, len(both), splits, OVER_SEEDS)


def _key(record: Training) -> tuple[int, int]:
    return record.cell.seed, record.cell.split_seed


def _value(record: Training, quantity: Quantity) -> float:
    """A run's value at its end, NaN where it has none."""
    last, loss, accuracy = record.curve[-1], record.test_loss, record.test_accuracy
    values = {"test_loss": loss, "test_accuracy": accuracy}
    if loss is not None and accuracy is not None:
        values["gap_loss"] = loss - last.train_loss
        values["gap_accuracy"] = last.train_accuracy - accuracy
    value = values.get(quantity)
    return nan if value is None else value


def _test_over_train(record: Training) -> float:
    """n_test/n_train, where n_train is what the batches of an epoch hold."""
    if record.test_part is None:
        return TEST_OVER_TRAIN
    cell = record.cell
    trained_on = record.steps / cell.epochs * cell.batch_size
    return float(decode_bits(record.test_part).sum()) / trained_on


def _hit_differences(
    both: Sequence[tuple[Training, Training]],
) -> NDArray[np.float64] | None:
    """Own's hits minus base's, (pairs, samples of the pool), NaN where a sample is not in the test
    part; None where some record does not say, or the two of a pair were tested on others.
    """
    rows = []
    for own, base in both:
        if own.test_part is None or own.test_part != base.test_part:
            return None
        if own.test_hits is None or base.test_hits is None:
            return None
        members = decode_bits(own.test_part)
        count = int(members.sum())
        row = np.full(len(members), nan)
        row[members] = 1.0 * decode_bits(own.test_hits, count) - decode_bits(base.test_hits, count)
        rows.append(row)
    return np.array(rows)
