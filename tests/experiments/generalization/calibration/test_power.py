from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from gr_bench.experiments.generalization.bits import decode_bits, encode_bits
from gr_bench.experiments.generalization.calibration.power import (
    POWER,
    Spread,
    pairs_of,
    planted,
    share_found,
    spread_of,
    wrong_share,
)
from gr_bench.experiments.generalization.calibration.study import Study
from gr_bench.experiments.generalization.record import Training
from tests.support.synthetic import trained, training

POOL, TESTED = 1000, 300
ALL = np.ones(TESTED, bool)


def right(hits: np.ndarray, seed: int = 0, part: np.ndarray | None = None) -> Training:
    """A training that is right about those of its test samples."""
    record = trained(
        training(seed=seed, split_seed=seed), train=(0.1, 1.0), test=(0.5, float(hits.mean()))
    )
    part = np.arange(POOL) < TESTED if part is None else part
    return replace(record, test_part=encode_bits(part), test_hits=encode_bits(hits))


def null_study(number: int, *, by_seed: bool = True) -> Study:
    """Ten pairs of runs that are right about nine of ten samples, and differ by seed."""
    random = np.random.default_rng(number)
    own, base = [], []
    for seed in range(10 * number, 10 * number + 10):
        part = np.zeros(POOL, bool)
        part[random.permutation(POOL)[:TESTED]] = True
        for runs in (own, base):
            share = 0.9 + 0.01 * random.normal()
            runs.append(right(random.random(TESTED) < share, seed, part))
    return Study(number, ("digits",), by_seed, (), tuple(own), tuple(base))


STUDIES = [null_study(number) for number in range(20)]


def test_wrong_predictions_alone_are_mended() -> None:
    hits = np.arange(TESTED) % 4 > 0
    (found,) = planted([right(hits)], 0.5, np.random.default_rng(0))
    mended = decode_bits(found.test_hits or "", TESTED)
    assert mended[hits].all()
    assert found.test_accuracy == mended.mean() > 0.8
    assert not mended.all()


def test_a_planted_gain_is_its_size_on_average() -> None:
    random = np.random.default_rng(0)
    records = [right(random.random(TESTED) < 0.8) for _ in range(300)]
    pairs = [(record, record) for record in records]
    found = planted(records, 0.02 / wrong_share(pairs), random)
    gains = [
        (a.test_accuracy or 0) - (b.test_accuracy or 0) for a, b in zip(found, records, strict=True)
    ]
    assert np.mean(gains) == pytest.approx(0.02, abs=0.002)


def test_more_than_every_wrong_prediction_cannot_be_mended() -> None:
    with pytest.raises(ValueError, match="wrong"):
        share_found([(right(ALL), right(ALL))], 0.01, 1, 1, np.random.default_rng(0))


def test_the_spread_is_pooled_over_studies_of_splits_by_seed() -> None:
    random = np.random.default_rng(0)
    shares = [0.9 + 0.01 * random.normal(size=100_000) for _ in range(2)]
    expected = 2 * np.mean([np.var(s) + np.mean(s * (1 - s)) / TESTED for s in shares])
    found = spread_of("digits", [*STUDIES, null_study(99, by_seed=False)])
    assert found is not None
    assert found.variance == pytest.approx(expected, rel=0.2)
    assert (found.pairs, found.studies, found.freedom) == (200, 20, 180)
    assert found.test_samples == TESTED
    assert spread_of("mnist1d", STUDIES) is None


def test_more_seeds_find_less_and_less_is_found_by_more() -> None:
    spread = Spread("digits", 200, 20, 1e-4, TESTED)
    gains = [spread.smallest_gain(seeds) for seeds in (2, 5, 10, 20, 50)]
    assert gains == sorted(gains, reverse=True)
    for gain in (0.005, 0.01, 0.02):
        seeds = spread.recommend_seeds(gain)
        assert spread.smallest_gain(seeds) <= gain < spread.smallest_gain(seeds - 1)
    assert spread.power(spread.smallest_gain(10), 10) == pytest.approx(POWER)


def test_a_spread_known_from_few_pairs_asks_for_more_seeds() -> None:
    few, many = (Spread("digits", 10 * n, n, 1e-4, TESTED) for n in (1, 100))
    assert few.recommend_seeds(0.01) > many.recommend_seeds(0.01)
    assert many.at(0) == pytest.approx(math.sqrt(1e-4), rel=0.05)


def test_the_seeds_that_are_recommended_find_a_gain_of_one_point() -> None:
    spread = spread_of("digits", STUDIES)
    assert spread is not None
    seeds = spread.recommend_seeds(0.01)
    found = share_found(pairs_of("digits", STUDIES), 0.01, seeds, 200, np.random.default_rng(0))
    assert found >= POWER
    without = share_found(pairs_of("digits", STUDIES), 0.0, seeds, 200, np.random.default_rng(0))
    assert without < 0.06
