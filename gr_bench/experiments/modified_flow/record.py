"""The records of an epoch and of a path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gr_bench.experiments.modified_flow.cell import ModifiedFlowCell
from gr_bench.experiments.record import Record


@dataclass(frozen=True, kw_only=True)
class Epoch(Record):
    """One epoch of SGD, the mean over all orders of its mini-batches, beside three flows.

    Distances are ‖θ - θ_flow‖/‖θ - θ₀‖, at the time m·h.
    """

    kind: ClassVar[str] = "modified_flow_epoch"

    cell: ModifiedFlowCell
    curvature: float
    """λ at the start."""

    length: float
    """‖θ - θ₀‖."""

    plain: float
    """From the flow of C."""

    modified: float
    """From the flow of C + (h/4)·(1/m)·Σ‖∇C_k‖²."""

    full: float
    """From the flow of C + (h/4)·‖∇C‖², the penalty of gradient descent with that step."""


@dataclass(frozen=True, kw_only=True)
class End:
    """A point where a path ended."""

    loss: float
    gradient_norm: float
    """‖∇L‖."""

    curvature: float
    """The largest eigenvalue of the Hessian."""


@dataclass(frozen=True, kw_only=True)
class Path(Record):
    """Gradient descent to a given time with a step h, with h/8, and with h/8 and the penalty that
    makes up for it, L + ((h - h/8)/4)·‖∇L‖².
    """

    kind: ClassVar[str] = "modified_flow_path"

    cell: ModifiedFlowCell
    start_curvature: float
    large: End | None
    """With the step h; None where it diverged."""

    small: End | None = None
    explicit: End | None = None
    small_distance: float | None = None
    """‖θ_small - θ_large‖; None where one of them diverged."""

    explicit_distance: float | None = None
    """‖θ_explicit - θ_large‖."""
