"""The time of a step from its counts, by rates that a few measured steps tell, with its error.

    t = calls·a + FLOPs(products)/r + FLOPs(convolutions)/r' + bytes/b

with the time a of an operator's call, two rates r, r' of arithmetic and the rate b at which tensors
are read and written. The four are fitted to the logarithms of measured times, every workload with
the same weight, and held to a wide prior, so that a rate which the measured steps say nothing of is
one about which nothing is claimed.

The error of a prediction is that of workloads left out: the model is fitted without each in turn,
and misses it by so much. Steps of one workload are missed alike: where another method's step on the
same workload is known, the prediction is moved by as much as that is missed, and what is left of
the error is smaller.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from gr_bench.planning.fake_step import Footprint
from gr_bench.stats import Interval

CONFIDENCE = 0.9
"""Of every interval of a time."""

PRIOR = np.log([5e-6, 1 / 50e9, 1 / 50e9, 1 / 10e9])
"""Logarithms of seconds a call, a FLOP of either sort, and a byte: of some core, about."""

PRIOR_SPREAD = 1.5
"""Standard deviation of these: a factor of 4.5 either way."""

ASSUMED_SPREAD = 0.2
"""Of a workload's log-times about the model, for the weight of the prior in the fit."""

LEAST_WORKLOADS = 3
"""Fewer say nothing of how workloads differ."""

Array = NDArray[np.float64]
Source = Literal["measured", "same workload", "model", "assumed"]
"""The origin of a time: this very step's; that of others on its workload and the model; the model
alone; an assumption."""


@dataclass(frozen=True)
class Observation:
    """A measured step."""

    workload: Hashable
    """All that it is but for its method."""

    spec: str
    """The method."""

    footprint: Footprint
    seconds: Interval


@dataclass(frozen=True)
class StepTime:
    """A step's time in seconds."""

    seconds: Interval
    source: Source


class TimeModel:
    """Times of steps on one device under one setting, by what was measured there."""

    def __init__(self, observations: Sequence[Observation]) -> None:
        self._observations = list(observations)
        self._by_workload: dict[Hashable, list[int]] = defaultdict(list)
        for index, one in enumerate(self._observations):
            self._by_workload[one.workload].append(index)
        self._counts = np.array([counts(one.footprint) for one in self._observations])
        self._logs = np.array([math.log(one.seconds.center) for one in self._observations])
        self._weights = np.array(
            [1 / len(self._by_workload[one.workload]) for one in self._observations]
        )

    @property
    def workloads(self) -> int:
        """Workloads that were measured."""
        return len(self._by_workload)

    def predict(self, footprint: Footprint, workload: Hashable, spec: str) -> StepTime | None:
        """The time of a step; None where too little was measured to say."""
        known = self._by_workload.get(workload, [])
        for index in known:
            if self._observations[index].spec == spec:
                return StepTime(self._observations[index].seconds, "measured")
        if self.workloads < LEAST_WORKLOADS:
            return None
        row = np.array(counts(footprint))
        freedom = self.workloads - 1
        if known and self._within is not None:
            center = _log_time(self._rates, row) + float(np.mean(self._residuals[known]))
            return StepTime(_around(center, self._within, freedom), "same workload")
        share = row * np.exp(self._rates)
        gradient = share / share.sum()
        of_rates = float(gradient @ self._covariance @ gradient)
        spread = math.sqrt(self._between**2 + of_rates)
        return StepTime(_around(_log_time(self._rates, row), spread, freedom), "model")

    @cached_property
    def _rates(self) -> Array:
        """Logarithms of seconds a call, a FLOP of either sort, and a byte."""
        return self._fitted(np.ones(len(self._logs), bool))

    @cached_property
    def _residuals(self) -> Array:
        return self._logs - _log_times(self._rates, self._counts)

    @cached_property
    def _within(self) -> float | None:
        """Root mean square of what a workload's other methods miss each of its methods by; None
        where no workload has several.
        """
        missed = [
            (self._residuals[own] - self._residuals[own].mean()) * len(own) / (len(own) - 1)
            for own in self._owns()
            if len(own) > 1
        ]
        return math.sqrt(float(np.mean(np.concatenate(missed) ** 2))) if missed else None

    @cached_property
    def _between(self) -> float:
        """Root mean square over workloads of what a fit without them misses them by."""
        squares = []
        for own in self._owns():
            others = np.ones(len(self._logs), bool)
            others[own] = False
            missed = self._logs[own] - _log_times(self._fitted(others), self._counts[own])
            squares.append(float(np.mean(missed**2)))
        return math.sqrt(float(np.mean(squares)))

    @cached_property
    def _covariance(self) -> Array:
        """Of the logarithms of the rates."""
        shares = self._counts * np.exp(self._rates)
        gradients = shares / shares.sum(axis=1, keepdims=True)
        information = (gradients.T * self._weights) @ gradients / max(self._between, 0.01) ** 2
        found: Array = np.linalg.inv(information + np.eye(len(PRIOR)) / PRIOR_SPREAD**2)
        return found

    def _owns(self) -> list[list[int]]:
        return list(self._by_workload.values())

    def _fitted(self, chosen: NDArray[np.bool_]) -> Array:
        table, logs = self._counts[chosen], self._logs[chosen]
        scale = np.sqrt(self._weights[chosen]) / ASSUMED_SPREAD

        def missed(rates: Array) -> Array:
            own = (_log_times(rates, table) - logs) * scale
            return np.concatenate([own, (rates - PRIOR) / PRIOR_SPREAD])

        found: Array = optimize.least_squares(missed, PRIOR).x
        return found


def counts(footprint: Footprint) -> tuple[float, float, float, float]:
    """The counts that a step's time is made of."""
    products = footprint.flops - footprint.convolution_flops
    return (footprint.calls, products, footprint.convolution_flops, footprint.touched_bytes)


def _log_time(rates: Array, row: Array) -> float:
    return math.log(float(row @ np.exp(rates)))


def _log_times(rates: Array, table: Array) -> Array:
    found: Array = np.log(table @ np.exp(rates))
    return found


def _around(center: float, spread: float, freedom: int) -> Interval:
    """exp of the t-interval about ``center``."""
    reach = spread * float(special.stdtrit(freedom, (1 + CONFIDENCE) / 2))
    return Interval(*(math.exp(center + shift) for shift in (0.0, -reach, reach)))
