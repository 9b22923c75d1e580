"""The record of a solution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from gr_bench.experiments.implicit_bias.cell import ImplicitBiasCell
from gr_bench.experiments.record import Record


@dataclass(frozen=True, kw_only=True)
class Interpolant:
    """Norms and test error of a β that fits the data, one end of the way between the regimes."""

    l1_norm: float
    l2_norm: float
    test_error: float


@dataclass(frozen=True, kw_only=True)
class PredictedFit:
    """Theory's prediction for a descent that goes on until the data are fitted."""

    beta: tuple[float, ...]
    """β̃ = argmin φ_α̃(β) subject to Xβ = y, (d,), solved for independently of descent."""

    optimality_residual: float
    """The part of ∇φ_α̃(β) outside the row space of X, for the β that descent found."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """The weights at which a descent ended, and what they are compared with."""

    residual: float
    """‖Xβ - y‖/‖y‖."""

    loss: float
    flow_time: float
    """Σ η over the steps."""

    beta: tuple[float, ...]
    """β = w₊² - w₋², (d,)."""

    alpha: tuple[float, ...]
    """√(w₊w₋), (d,)."""

    predicted_alpha: tuple[float, ...]
    """α̃ = α·exp(-∫q dt), (d,)."""

    predicted_fit: PredictedFit | None
    """None for flooding, which keeps away from a fit."""

    test_error: float
    least_l1: Interpolant
    """Of the least L1 norm: the rich end."""

    least_l2: Interpolant
    """Of the least L2 norm: the kernel end."""


@dataclass(frozen=True, kw_only=True)
class Solution(Record):
    """One method's descent on one problem, and what theory predicts of its end."""

    kind: ClassVar[str] = "solution"

    cell: ImplicitBiasCell
    feature_mean: float
    steps: int
    direction_error: float
    """The largest relative difference between the direction that was followed and the method's
    own ``backward``, over the steps at which that was asked."""

    endpoint: Endpoint | None
    """None if the descent diverged."""

    @property
    def status(self) -> str:
        """The word for it in tables: ``ok``, ``not converged``, ``flooded`` or ``diverged``."""
        if self.endpoint is None:
            return "diverged"
        if self.endpoint.predicted_fit is None:
            return "flooded"
        return "ok" if self.endpoint.residual <= self.cell.tolerance else "not converged"

    @classmethod
    def from_0_1(cls, data: dict[str, Any]) -> dict[str, Any]:
        """The fields of a record of version 0.1, but for its cell and conditions."""
        found = {key: data[key] for key in ("feature_mean", "steps", "direction_error")}
        if data["diverged"]:
            return found | {"endpoint": None}
        same = ("residual", "loss", "beta", "alpha", "predicted_alpha", "test_error")
        fit = None
        if data["interpolates"]:
            fit = {
                "beta": data["predicted_beta"],
                "optimality_residual": data["optimality_residual"],
            }
        endpoint = {
            **{key: data[key] for key in same},
            "flow_time": data["time"],
            "predicted_fit": fit,
            **data["ends"],
        }
        return found | {"endpoint": endpoint}
