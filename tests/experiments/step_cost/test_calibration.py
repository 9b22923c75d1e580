from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from synthetic import cost, timed

from gr_bench import stats
from gr_bench.experiments.record import Record
from gr_bench.experiments.step_cost.calibration import advice, calibrate


def pair(logs: list[float], *, batch_size: int = 8, **more: object) -> list[Record]:
    """SGD and its control, whose log-ratios over the replicates are ``logs``."""
    first, control = (cost(batch_size=batch_size, control=control) for control in (False, True))
    records = []
    for replicate, log in enumerate(logs):
        records.append(timed(first, replicate, [1.0] * 3, **more))
        records.append(timed(control, replicate, [math.exp(log)] * 3, **more))
    return records


def test_what_equal_pairs_show() -> None:
    one, other = [-0.02, 0.0, 0.02], [0.029, 0.030, 0.031]
    found = calibrate([*pair(one), *pair(other, batch_size=16)])
    assert (found.pairs, found.replicates) == (2, 3)
    assert (found.excluding_one, found.called_different) == (1, 1)
    assert found.coverage == 0.5
    assert found.between_spread == pytest.approx((0.02 + 0.001) / 2)
    assert found.noise_floor == pytest.approx(stats.smallest_called(found.between_spread, 3))
    assert found.one_process == pytest.approx(
        np.median(np.abs(np.expm1(np.concatenate([one, other]))))
    )
    assert found.within_spread == 0
    assert found.sequential is None


def test_sequential_timing_is_summarised_beside() -> None:
    records = [
        replace(r, sequential_step_s=(1.1, 1.1, 9.0) if r.cell.control else (1.0,) * 3)
        for r in pair([0.0, 0.0])
    ]
    found = calibrate(records)
    assert found.sequential == pytest.approx(0.1)
    assert found.sequential_worst == pytest.approx(0.1)
    assert found.one_process == 0


def test_the_share_of_waiting_is_that_of_the_elapsed_time() -> None:
    found = calibrate(pair([0.0, 0.0], waited_s=[1.0] * 3))
    assert found.waiting_share == pytest.approx(0.5)
    assert found.one_process == pytest.approx(0)


@pytest.mark.parametrize("records", [[], pair([0.0]), [timed(cost(), r, [1.0]) for r in range(3)]])
def test_without_a_complete_pair_there_is_nothing_to_say(records: list[Record]) -> None:
    assert calibrate(records) is None


def test_equal_pairs_are_found_equal_19_times_in_20() -> None:
    random = np.random.default_rng(0)
    records = [
        record
        for size in range(1, 401)
        for record in pair(list(random.normal(0, 0.01, 5)), batch_size=size)
    ]
    assert 0.92 <= calibrate(records).coverage <= 0.98


def test_advice_names_what_hurts_and_nothing_else() -> None:
    calibration = calibrate(pair([0.0, 0.0]))
    quiet = {
        "governor": "performance",
        "turbo_off": "1",
        "machine": {"cores": 2, "hardware_threads": 2},
        "load_average": [0.1, 0.1, 0.1],
    }
    assert advice(quiet, calibration) == []
    assert advice({**quiet, "governor": None, "turbo_off": None}, calibration) == []
    loud = {
        "governor": "powersave",
        "turbo_off": "0",
        "machine": {"cores": 2, "hardware_threads": 4},
        "load_average": [3.0, 3.0, 3.0],
    }
    busy = calibrate(pair([0.0, 0.0], waited_s=[1.0] * 3))
    words = ("governor", "turbo", "hardware threads", "load average", "50.0%")
    hints = advice(loud, busy)
    assert all(word in hint for word, hint in zip(words, hints, strict=True))
