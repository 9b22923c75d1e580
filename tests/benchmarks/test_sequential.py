"""The simulated comparisons: are they judged as a comparison is?"""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate
from scipy import stats as reference

from benchmarks import sequential
from gr_bench.comparison.sequential import always_valid_p, e_value
from gr_bench.comparison.stopping import standings
from gr_bench.stats import discoveries, p_value


@pytest.mark.parametrize("noise", sequential.NOISES)
def test_noise_has_the_spread_and_the_correlation_that_it_says(noise: str) -> None:
    rng = np.random.default_rng(0)
    values = sequential.draw(rng, noise, 0.5, 0.01, 3000)
    rows = values.transpose(1, 0, 2).reshape(sequential.CELLS, -1)
    assert rows.std(axis=1) == pytest.approx(np.full(sequential.CELLS, 0.01), rel=0.03)
    apart = np.corrcoef(rows)[np.triu_indices(sequential.CELLS, 1)]
    assert apart == pytest.approx(np.full(apart.size, 0.5), abs=0.05)


def test_looks_are_judged_as_a_comparison_is() -> None:
    means = np.array([0.03, -0.03, 0.02, 0.04, 0.0, 0.0, 0.0, 0.0])
    rng = np.random.default_rng(3)
    values = sequential.draw(rng, "contaminated", 0.3, 0.012, 4) + means[:, None]
    values[0, 0, :5] = [0.029, 0.031, 0.03, 0.028, 0.032]
    values[0, 0, 8:11] = -0.03  # an alarm that comes and goes
    looks = sequential.Looks.sequential(sequential.Moments(values))
    seen = set()
    for rows, same, called, raised in zip(
        values, looks.same, looks.called, looks.raised, strict=True
    ):
        for pairs in (1, 2, *range(4, 20), 30, 60):
            for cell, found in enumerate(standings(list(rows[:, :pairs]), sequential.THRESHOLD)):
                of = (cell, pairs - 1)
                assert same[of] == (found.verdict == "same")
                assert called[of] == (found.verdict in ("slower", "faster"))
                assert raised[of] == found.confirmed
                seen.add((found.verdict, found.confirmed))
    assert len(seen) == 6  # all that there is


def test_p_values_are_those_of_one_cell() -> None:
    values = sequential.draw(np.random.default_rng(4), "t5", 0.0, 0.01, 2) + 0.01
    moments = sequential.Moments(values)
    looks, before = sequential.Looks.sequential(moments), sequential.Looks.before(moments)
    inverse = sequential.inverse_e_values(moments)
    for pairs in (1, 2, 3, 7, 60):
        for index in np.ndindex(values.shape[:2]):
            row, of = values[index][:pairs], (*index, pairs - 1)
            assert 1 / inverse[of] == pytest.approx(e_value(row))
            assert looks.p_values[of] == pytest.approx(always_valid_p(row))
            if pairs >= sequential.LEAST_PAIRS:
                assert before.p_values[of] == pytest.approx(p_value(row))


def test_discoveries_are_those_of_one_look() -> None:
    p_values = np.random.default_rng(5).random((20, 4, 3)) ** 3
    found = sequential.believed(p_values, 0.2)
    assert 0 < found.mean() < 1
    for comparison, look in np.ndindex(20, 3):
        own = p_values[comparison, :, look]
        assert list(found[comparison, :, look]) == discoveries(own, 0.2)


def test_what_comes_after_the_stop_does_not_count() -> None:
    flags = np.array([[[False, True, False, True]], [[False, False, False, False]]])
    assert list(sequential.first(flags)[:, 0]) == [2, 5]
    assert list(sequential.until(flags, np.array([1, 4]))[:, 0]) == [False, False]
    assert list(sequential.until(flags, np.array([2, 4]))[:, 0]) == [True, False]
    assert list(sequential.at(flags, np.array([4, 4]))[:, 0]) == [True, False]


def test_group_sequential_looks_err_as_often_as_they_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequential, "CALIBRATION_PATHS", 40_000)
    of = sequential.Moments(np.random.default_rng(6).standard_normal((20_000, sequential.PAIRS)))
    for rule in sequential.group_sequential_rules().values():
        half, needed = rule[1]
        for reaches, alpha in ((half, 0.05), (needed, sequential.FALSE_DISCOVERY_RATE)):
            ever = (np.abs(of.mean) > of.half(reaches)).any(axis=1)
            assert ever.mean() == pytest.approx(alpha, rel=0.2)


def test_the_worst_of_two_values_is_that_of_an_integral() -> None:
    """One stops after the first value where going on is worth less than 1."""

    def going_on(one: float) -> float:
        def weighed(other: float) -> float:
            return reference.norm.pdf(other) * e_value([one, other])

        ends = [(-9.0, min(one, 0.0)), (min(one, 0.0), max(one, 0.0)), (max(one, 0.0), 9.0)]
        return sum(integrate.quad(weighed, *end, epsrel=1e-6)[0] for end in ends)

    x = np.linspace(0, 6, 61)
    weights = reference.norm.pdf(x)
    weights[0] /= 2  # the other half is that of -x
    weights /= weights.sum()
    worth = np.array([going_on(one) for one in x])
    assert weights @ worth == pytest.approx(1, abs=0.002)
    best = weights @ np.maximum(1, worth)
    assert sequential.worst_stop(2, 20, 20) == pytest.approx(best, abs=0.002)


def test_the_worst_stop_is_worse_the_more_values_there_are() -> None:
    assert 1.05 < sequential.worst_stop(2, 30, 30, 101) < sequential.worst_stop(4, 30, 30, 101)


def test_the_command_writes_tables_and_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (
        ("STUDY_PATHS", 20),
        ("CALIBRATION_PATHS", 20_000),
        ("SCALES", (4.0, 8.0)),
        ("EXPONENTS", (0.0,)),
        ("NOISES", {"normal": sequential.normal}),
        ("worst_stop", lambda most: 1.0),
    ):
        monkeypatch.setattr(sequential, name, value)
    monkeypatch.setattr(sys, "argv", ["sequential", str(tmp_path / "out"), "--comparisons", "5"])
    sequential.main()
    found = json.loads((tmp_path / "out" / "sequential.json").read_text())
    assert len(found["scenarios"]) == len(sequential.CORRELATIONS) * len(sequential.SPREADS)
    assert 1 <= min(own["largest"] for own in found["prior_scales"].values()) < 2
    page = (tmp_path / "out" / "sequential.md").read_text()
    assert "nan" not in page
    for line, below in pairwise(page.splitlines()):
        if line.startswith("|") and below.startswith("|"):
            assert line.count("|") == below.count("|")
