"""The baseline's runs that a method is compared with, where a workload has several."""

from __future__ import annotations

import pandas as pd
import pytest
from synthetic import trained, training

from gr_bench.experiments.generalization.analysis.equal_cost import comparison
from gr_bench.experiments.generalization.analysis.tables import (
    baseline_runs,
    generalization,
    step_times,
)

SEEDS = (0, 1, 2)


def records(own_rate: float, validation: dict[float, float]) -> list:
    """F-GR at a rate of its own, and SGD at two rates with what the validation part said."""
    found = []
    for seed in SEEDS:
        for spec, rate, accuracy in (
            ("f-gr", own_rate, 0.9),
            *(("sgd", rate, accuracy) for rate, accuracy in validation.items()),
        ):
            cell = training(spec, seed=seed, learning_rate=rate, role="chosen")
            found.append(
                trained(
                    cell,
                    train=(0.1, 1.0),
                    test=(0.5, accuracy + 0.01 * seed),
                    validation=[(0.5, accuracy)],
                )
            )
    return found


def compared(own: list) -> tuple[pd.DataFrame, pd.DataFrame]:
    table = generalization(own, step_times(own))
    row = table[table["method"] == "f-gr"].iloc[0]
    return baseline_runs(table, row), comparison(table, own)


@pytest.mark.parametrize("rate", [0.02, 0.2])
@pytest.mark.parametrize("backwards", [False, True])
def test_the_methods_own_rate_counts(rate: float, backwards: bool) -> None:
    own = records(rate, {0.02: 0.5, 0.2: 0.7})
    runs, found = compared(own[::-1] if backwards else own)
    assert set(runs["learning_rate"]) == {rate}
    assert len(runs) == len(SEEDS)
    (row,) = found.to_dict("records")
    assert row["difference"] == pytest.approx(0.9 - {0.02: 0.5, 0.2: 0.7}[rate])
    assert row["seeds"] == len(SEEDS)


@pytest.mark.parametrize("backwards", [False, True])
def test_else_the_rate_that_the_validation_part_prefers(backwards: bool) -> None:
    own = records(0.1, {0.02: 0.7, 0.2: 0.5})
    runs, found = compared(own[::-1] if backwards else own)
    assert set(runs["learning_rate"]) == {0.02}
    (row,) = found.to_dict("records")
    assert row["difference"] == pytest.approx(0.2)
