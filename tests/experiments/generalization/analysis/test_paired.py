from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gr_bench import stats
from gr_bench.crossed import crossed_mean
from gr_bench.experiments.generalization.analysis import paired
from gr_bench.experiments.generalization.analysis.paired import paired_comparison
from gr_bench.experiments.generalization.bits import encode_bits
from gr_bench.experiments.generalization.experiment import Generalization
from gr_bench.experiments.generalization.record import Training
from tests.support.synthetic import trained, training

POOL, TESTED = 40, 10


def run(
    method: str, seed: int, hits: np.ndarray, split: int = 0, part: np.ndarray | None = None
) -> Training:
    """A training that is right about ``hits`` of the test samples, the first ones of the pool."""
    cell = training(method, seed=seed, split_seed=split)
    record = trained(cell, train=(0.1, 1.0), test=(0.5, float(hits.mean())))
    part = np.arange(POOL) < TESTED if part is None else part
    return replace(record, test_part=encode_bits(part), test_hits=encode_bits(hits))


def runs(*, splits: bool) -> tuple[list[Training], list[Training], np.ndarray]:
    """SAM's and SGD's with four seeds, and the table of their differences."""
    random = np.random.default_rng(0)
    own, base, table = [], [], np.full((4, POOL), math.nan)
    for seed, row in enumerate(table):
        part = np.zeros(POOL, bool)
        part[random.permutation(POOL)[:TESTED] if splits else np.arange(TESTED)] = True
        hits = random.random((2, TESTED)) < 0.6
        split = seed if splits else 0
        own.append(run("sam", seed, hits[0], split, part))
        base.append(run("sgd", seed, hits[1], split, part))
        row[part] = hits[0] * 1.0 - hits[1]
    return own, base, table


@pytest.mark.parametrize("splits", [False, True])
def test_the_interval_is_that_over_runs_and_test_samples(splits: bool) -> None:
    own, base, table = runs(splits=splits)
    found, expected = paired_comparison(own, base[::-1]), crossed_mean(table)
    assert (found.difference, found.low, found.high) == pytest.approx(expected.interval)
    assert found.p == pytest.approx(expected.p)
    assert (found.pairs, found.splits) == (4, 4 if splits else 1)
    assert found.how == paired.OVER_SAMPLES
    assert found.components == expected.components


def test_other_quantities_have_the_interval_over_seeds() -> None:
    own, base, _ = runs(splits=False)
    own = [replace(r, test_loss=0.5 - 0.1 * r.cell.seed) for r in own]
    found = paired_comparison(own, base, "test_loss")
    assert (found.difference, found.low, found.high) == pytest.approx(
        stats.t_interval([0.0, -0.1, -0.2, -0.3])
    )
    assert found.how == paired.OVER_SEEDS


def test_other_quantities_over_several_splits_have_the_corrected_interval() -> None:
    own, base, _ = runs(splits=True)
    own = [replace(r, test_loss=0.5 - 0.1 * r.cell.seed) for r in own]
    found = paired_comparison(own, base, "gap_loss")
    trained_on = own[0].steps / own[0].cell.epochs * own[0].cell.batch_size
    expected, p = stats.corrected_resampled_t([0.0, -0.1, -0.2, -0.3], TESTED / trained_on)
    assert (found.difference, found.low, found.high) == pytest.approx(expected)
    assert found.p == pytest.approx(p)
    assert found.how == paired.OVER_SPLITS


def without_hits(record: Training) -> Training:
    return replace(record, test_part=None, test_hits=None)


@pytest.mark.parametrize("which", [0, 1])
def test_a_record_of_before_among_them_leaves_the_interval_over_seeds(which: int) -> None:
    both = list(runs(splits=False)[:2])
    both[which] = [without_hits(both[which][0]), *both[which][1:]]
    found = paired_comparison(*both)
    apart = [a.test_accuracy - b.test_accuracy for a, b in zip(*both, strict=True)]
    assert (found.difference, found.low, found.high) == pytest.approx(stats.t_interval(apart))
    assert found.how == paired.OVER_SEEDS


def test_a_pair_that_was_tested_on_different_samples_is_not_compared_by_sample() -> None:
    own, base, _ = runs(splits=False)
    other = np.arange(POOL) >= POOL - TESTED
    own[2] = replace(own[2], test_part=encode_bits(other))
    assert paired_comparison(own, base).how == paired.OVER_SEEDS


def test_pairs_are_of_one_seed_and_split_and_none_diverged() -> None:
    own, base, _ = runs(splits=True)
    lost = replace(own[0], diverged_step=3)
    elsewhere = replace(own[1], cell=replace(own[1].cell, split_seed=9))
    found = paired_comparison([lost, elsewhere, *own[2:]], base)
    assert (found.pairs, found.splits) == (2, 2)
    assert paired_comparison([lost], base).pairs == 0


def test_one_pair_has_no_interval() -> None:
    own, base, _ = runs(splits=False)
    found = paired_comparison(own[:1], base)
    assert (found.low, found.high, found.p) == (-math.inf, math.inf, 1.0)


def tables(*records: Training) -> dict[str, Any]:
    return Generalization().tables(records)


def test_the_table_has_the_interval_and_says_what_it_is_over() -> None:
    own, base, _ = runs(splits=True)
    found = paired_comparison(own, base)
    row = tables(*own, *base)["comparison"].iloc[0]
    ends = ("difference", "low", "high", "p")
    assert [row[key] for key in ends] == [getattr(found, key) for key in ends]
    assert (row["seeds"], row["splits"], row["interval"]) == (4, 4, paired.OVER_SAMPLES)


def test_readers_are_told_what_intervals_are_over() -> None:
    own, base, _ = runs(splits=True)
    rest, against, *_ = Generalization().summaries(tables(*own, *base))
    assert "generalises to other data" in against.caption
    assert list(against.table["splits"]) == [4]
    difference = "minus SGD (points)"
    sam = rest.table.set_index("spec")[difference].drop("sgd")
    assert list(sam) == list(against.table[difference])
    plain = [without_hits(record) for record in (*own, *base)]
    plain = [replace(r, cell=replace(r.cell, split_seed=0)) for r in plain]
    _, against, *_ = Generalization().summaries(tables(*plain))
    assert "does not generalise to other data" in against.caption
    assert "splits" not in against.table
