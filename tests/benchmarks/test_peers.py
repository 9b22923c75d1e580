"""Ours over other implementations, from the rounds in which both were read."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest
from synthetic import cost, timed

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.peers import pairs

OTHER = "gr_bench.peers:TextbookSAM(rho=0.05)"


def test_a_pair_is_compared_round_by_round_within_every_process() -> None:
    sgd, sam, other = cost("sgd"), cost("sam"), cost(OTHER)
    records = []
    for replicate, (speed, ratio) in enumerate([(1, 1.01), (4, 1.02), (2, 1.03)]):
        drift = [speed * factor for factor in (1, 5, 2, 3, 1)]  # of the machine
        records += [
            timed(sgd, replicate, [0.5 * d for d in drift]),
            timed(sam, replicate, [ratio * d for d in drift]),
            timed(other, replicate, drift),
        ]
    ((ours, over_sgd, theirs, over_theirs),) = pairs(records)
    assert (ours, theirs) == (sam, other)
    center = (1.01 * 1.02 * 1.03) ** (1 / 3)
    assert over_sgd == pytest.approx(2 * center)
    assert over_theirs.center == pytest.approx(center)
    # t(2) for 95 % is 4.3027; the logs are 0.0099 apart
    logs = [math.log(ratio) for ratio in (1.01, 1.02, 1.03)]
    spread = math.sqrt(sum((x - sum(logs) / 3) ** 2 for x in logs) / 2)
    assert over_theirs.high == pytest.approx(center * math.exp(4.3027 * spread / math.sqrt(3)))


def test_only_processes_that_read_both_are_compared() -> None:
    sgd, sam, other = cost("sgd"), cost("sam"), cost(OTHER)
    records = [timed(cell, 0, [t] * 3) for cell, t in ((sgd, 1.0), (sam, 2.2), (other, 2.0))]
    records += [timed(sgd, 1, [1.0] * 3), timed(sam, 1, [9.0] * 3)]
    ((_, _, _, ratio),) = pairs(records)
    assert ratio.center == pytest.approx(1.1)


def test_models_and_batch_sizes_are_not_mixed() -> None:
    found = []
    for size, theirs in ((32, 2.0), (64, 4.0)):
        cells = [cost(spec, batch_size=size) for spec in ("sgd", "sam", OTHER)]
        found += [timed(c, 0, [t] * 3) for c, t in zip(cells, (1.0, 2.0, theirs), strict=True)]
    ratios = {ours.batch_size: ratio.center for ours, _, _, ratio in pairs(found)}
    assert ratios == pytest.approx({32: 1.0, 64: 0.5})
