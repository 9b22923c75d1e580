"""Gradient descent of many diagonal linear networks side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gr_bench.experiments.implicit_bias.network import Point, Problems
from gr_bench.experiments.implicit_bias.problem import Array
from gr_bench.experiments.implicit_bias.rules import Rates, Rule

Mask = np.typing.NDArray[np.bool_]

LOSS_SHARE = 0.5
"""A step takes away at most this part of the loss, to first order."""


@dataclass(frozen=True)
class Snapshot:
    """The networks of S settings on P problems at some step; arrays begin with (P, S)."""

    step: int
    plus: Array
    """w₊, (P, S, d)."""

    minus: Array
    rates: Rates
    """The direction that is taken from here: d± = (±a + q)⊙w±."""

    loss: Array
    residual: Array
    """‖Xβ - y‖/‖y‖."""

    time: Array
    """Σ η so far."""

    regularised: Array
    """∫ q dt so far, (P, S, d)."""

    steps: np.typing.NDArray[np.int64]
    """Steps that each run took before it was done."""

    finite: Mask

    part: float
    """The progress of the slowest run, as a part of 1."""


def descend(
    problems: Problems,
    alphas: Array,
    rule: Rule,
    *,
    step: float,
    tolerance: float,
    most_steps: int,
) -> Iterator[Snapshot]:
    """θ <- θ - η·d from w± = α until every run fits its data; yields the way and, last, the end.

    η is chosen anew in every step and run, as large as three bounds allow: no weight changes by
    more than ``step`` of itself, so that descent is near its flow; η times the largest eigenvalue
    is at most 1, by a bound on that eigenvalue; and the loss falls by at most :data:`LOSS_SHARE` of
    itself to first order, so that SAM, which comes to Xβ = y at a finite speed, does not jump to
    and fro across it. Rules that do not interpolate are bound by ``step`` alone.
    What descent is off the flow by is of order Σ (ηa)², and shows as w₊w₋ ≠ α²·exp(-2∫q dt).

    Args:
        problems: P of them, of one size.
        alphas: α > 0, (S,).
        rule: the methods, with the numbers of S settings.
        step: the largest relative change of a weight in a step, in (0, 1).
        tolerance: a run is done when ‖Xβ - y‖/‖y‖ is no more than this.
        most_steps: after which a run that is not done is left as it is.

    Yields:
        A snapshot at steps 0, 1, 10, 100, ..., more often for the progress, and at the end.
    """
    scale = np.linalg.norm(problems.targets, axis=-1)
    count, features = len(scale), problems.squares.shape[1]
    plus = np.broadcast_to(alphas[:, None], (count, len(alphas), features)).copy()
    minus = plus.copy()
    regularised = np.zeros_like(plus)
    time = np.zeros(plus.shape[:2])
    steps = np.zeros(plus.shape[:2], np.int64)
    with np.errstate(over="ignore", invalid="ignore"):
        for now in range(most_steps + 1):
            point = Point(problems, plus**2, minus**2)
            rates = rule.rates(point)
            residual = np.sqrt(point.squared_residual) / scale
            finite = np.isfinite(residual) & np.isfinite(rates.a + rates.q).all(-1)
            live = finite & ((residual > tolerance) | (not rule.interpolates))
            end = now == most_steps or not live.any()
            if end or now in (0, 1) or now % 1000 == 0 or now in (10, 100):
                nearest = np.log(np.clip(residual[live], tolerance, 1)).max(
                    initial=np.log(tolerance)
                )
                by_residual = nearest / np.log(tolerance) if rule.interpolates else 0.0
                yield Snapshot(
                    step=now,
                    plus=plus.copy(),
                    minus=minus.copy(),
                    rates=rates,
                    loss=point.loss,
                    residual=residual,
                    time=time.copy(),
                    regularised=regularised.copy(),
                    steps=steps.copy(),
                    finite=finite,
                    part=float(max(now / most_steps, by_residual)),
                )
            if end:
                return
            up, down = rates.a + rates.q, rates.q - rates.a
            eta = np.where(live, _step_size(point, rule, up, down, step), 0.0)[..., None]
            regularised += rule.regularised(point, rates, eta)
            plus -= eta * up * plus
            minus -= eta * down * minus
            time += eta[..., 0]
            steps += live


def _step_size(point: Point, rule: Rule, up: Array, down: Array, step: float) -> Array:
    """η of every run, (P, S)."""
    with np.errstate(divide="ignore"):
        eta: Array = step / np.maximum(np.abs(up), np.abs(down)).max(-1)
        if rule.interpolates:
            falls = np.einsum("psd,psd->ps", point.g, point.plus * up - point.minus * down)
            to_zero = np.where(falls > 0, LOSS_SHARE * point.loss / falls, np.inf)
            stiffness = rule.stiffness(point)
            eta = np.minimum(np.minimum(eta, 1 / stiffness), to_zero)
    return eta
