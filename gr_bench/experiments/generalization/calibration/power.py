"""The gains that studies find, and the seeds that they need, from studies in which nothing differs.

A gain is planted: of the test predictions that are wrong, that share is mended, by lot, which gives
it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gr_bench import stats
from gr_bench.experiments.generalization.analysis.paired import paired_comparison
from gr_bench.experiments.generalization.bits import decode_bits, encode_bits
from gr_bench.experiments.generalization.calibration.study import Study
from gr_bench.experiments.generalization.record import Training

POWER = 0.8
CONFIDENCE = 0.9
"""That the spread is no larger than it is taken to be."""

Pair = tuple[Training, Training]
"""A method's training and the baseline's."""


@dataclass(frozen=True)
class Spread:
    """The differences in test accuracy of pairs of SGD on one data set, a split a pair."""

    dataset: str
    pairs: int
    studies: int
    variance: float
    """Of a pair's difference, pooled over studies."""

    test_samples: int

    @property
    def freedom(self) -> int:
        """Degrees of freedom of the variance."""
        return self.pairs - self.studies

    def at(self, gain: float) -> float:
        """Standard deviation of a pair's difference where a gain was planted, at most.

        The upper limit of the variance by the chi-square distribution, and the planting's own:
        gain·(1 - gain)/n.
        """
        from scipy import special

        limit = self.variance * self.freedom / special.chdtri(self.freedom, CONFIDENCE)
        return math.sqrt(limit + gain * (1 - gain) / self.test_samples)

    def power(self, gain: float, seeds: int) -> float:
        """The share of studies that find a gain, a fraction, with so many seeds and splits."""
        return stats.power_of_t(gain, self.at(gain), seeds)

    def recommend_seeds(self, gain: float, power: float = POWER) -> int:
        """The seeds, each with a split, by which that share of studies finds a gain, a fraction."""
        return stats.values_needed(gain, self.at(gain), power)

    def smallest_gain(self, seeds: int, power: float = POWER) -> float:
        """The gain, a fraction, that this share of studies finds with so many seeds."""
        from scipy import optimize

        if self.power(1.0, seeds) < power:
            return math.nan
        return float(optimize.brentq(lambda gain: self.power(gain, seeds) - power, 0.0, 1.0))


def spread_of(dataset: str, studies: Sequence[Study]) -> Spread | None:
    """The spread in the studies on a data set in which every seed had a split of its own; None
    without any.
    """
    squares, pairs, count, samples = 0.0, 0, 0, 0
    for own in _pairs_by_study(dataset, studies):
        apart = [_accuracy(a) - _accuracy(b) for a, b in own]
        if len(apart) > 1:
            squares += float(np.var(apart, ddof=1)) * (len(apart) - 1)
            pairs, count = pairs + len(apart), count + 1
            samples = int(decode_bits(own[0][0].test_part or "").sum())
    if not count:
        return None
    return Spread(dataset, pairs, count, squares / (pairs - count), samples)


def pairs_of(dataset: str, studies: Sequence[Study]) -> list[Pair]:
    """The pairs of all those studies."""
    return [pair for own in _pairs_by_study(dataset, studies) for pair in own]


def _pairs_by_study(dataset: str, studies: Sequence[Study]) -> list[list[Pair]]:
    found = []
    for study in studies:
        own, base = (
            [r for r in side if r.cell.dataset == dataset] for side in (study.own, study.base)
        )
        if own and study.by_seed and all(r.test_hits is not None for r in (*own, *base)):
            found.append(list(zip(own, base, strict=True)))
    return found


def _accuracy(record: Training) -> float:
    assert record.test_accuracy is not None
    return record.test_accuracy


def planted(
    records: Sequence[Training], share: float, random: np.random.Generator
) -> list[Training]:
    """The records with this share of their wrong test predictions mended, each by lot."""
    found = []
    for record in records:
        assert record.test_part is not None
        assert record.test_hits is not None
        hits = decode_bits(record.test_hits, int(decode_bits(record.test_part).sum()))
        hits = hits | (random.random(len(hits)) < share)
        found.append(replace(record, test_hits=encode_bits(hits), test_accuracy=float(hits.mean())))
    return found


def wrong_share(pairs: Sequence[Pair]) -> float:
    """The share of the method's test predictions that are wrong: no larger gain can be planted."""
    return 1 - float(np.mean([_accuracy(own) for own, _ in pairs]))


def share_found(
    pairs: Sequence[Pair], gain: float, seeds: int, draws: int, random: np.random.Generator
) -> float:
    """The share of studies with so many of the pairs, drawn without replacement, in which a planted
    gain is found: a positive difference with p <= 0.05, which is the verdict on one comparison. Of
    several in one study, the false-discovery rule asks for more, and finds it less often.

    Args:
        pairs: at least ``seeds``.
        gain: a fraction, at most :func:`wrong_share`: the mean over all pairs.
        seeds: pairs of a study.
        draws: studies.
        random: decides what is drawn and mended.

    Raises:
        ValueError: a gain that is too large.
    """
    wrong = wrong_share(pairs)
    if gain > wrong:
        raise ValueError(f"a gain of {gain:g} where {wrong:g} of the predictions are wrong")
    share = gain / wrong if gain else 0.0
    found = 0
    for _ in range(draws):
        chosen = [pairs[i] for i in random.choice(len(pairs), seeds, replace=False)]
        own = planted([a for a, _ in chosen], share, random)
        result = paired_comparison(own, [b for _, b in chosen])
        found += stats.discoveries([result.p])[0] and result.difference > 0
    return found / draws
