"""The record of a training: its curve, its test results, the curvature where it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from gr_bench.experiments.generalization.cell import GeneralizationCell
from gr_bench.experiments.record import Record

TrainerName = Literal["fleet", "loop"]

BYTE = "byte"
"""The unit of text whose targets are bytes."""


@dataclass(frozen=True, kw_only=True)
class EpochResult:
    """A run at the end of an epoch, in evaluation mode.

    Losses are mean cross-entropies in nats, accuracies fractions.
    """

    epoch: int
    """Counted from 1."""

    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    gradient_norm: float
    """‖∇L‖₂ of the mean loss over the training part."""

    parameter_norm: float
    """‖θ‖₂."""


@dataclass(frozen=True, kw_only=True)
class Curvature:
    """The Hessian of the mean training loss where a training ended."""

    largest_eigenvalue: float
    trace: float
    trace_error: float
    """Standard error of the trace over the random vectors that it is estimated from."""

    tolerance: float
    """Relative accuracy of the eigenvalue."""

    products: int
    """Hessian-vector products that it took."""


@dataclass(frozen=True, kw_only=True)
class Training(Record):
    """One training, from its start to its end or to where it diverged."""

    kind: ClassVar[str] = "training"

    cell: GeneralizationCell
    curve: tuple[EpochResult, ...]
    """Its epochs that were evaluated, up to a divergence."""

    diverged_step: int | None
    """The step, counted from 1, after which some loss was no longer finite; None if all were. Of
    whole parts, only evaluations tell."""

    test_loss: float | None = None
    """Nats, after the last step; None for candidates and where the training diverged."""

    test_accuracy: float | None = None
    test_part: str | None = None
    """The samples of the data set, in their original order, that are in the test part, as bits
    (:func:`~gr_bench.experiments.generalization.bits.decode_bits`). None where the test part was
    not read, of sequences, and of data that do not say."""

    test_hits: str | None = None
    """The samples of the test part, in the same order, whose class is the largest logit's after the
    last step, as bits. None where ``test_part`` is."""

    split_hash: str | None = None
    """Of the samples of all three parts (:attr:`gr_bench.workloads.datasets.split.Split.hash`)."""

    sharpness: Curvature | None = None
    """None where the cell did not ask for it or it could not be found."""

    sharpness_error: str | None = None
    """The reason for which it could not be found."""

    meters: dict[str, dict[str, float]] = field(default_factory=dict)
    """Values of the cell's meters, by spec and by name; a single one's name is empty."""

    meter_errors: dict[str, str] = field(default_factory=dict)
    """The reason of each that gave none."""

    steps: int
    gradient_evaluations: int
    """Forward and backward passes on mini-batches."""

    training_s: float
    """Seconds that its steps took; in a fleet, its equal share."""

    split: str
    """The division of the data, in words."""

    unit: str | None = None
    """Of text, ``byte`` if a target is one."""

    test_over_train: float | None = None
    """Samples of the test part over those of the train part; records of before have none."""

    trainer: TrainerName
    runs_together: int
    """Runs of its fleet; 1 in the loop."""

    @property
    def diverged(self) -> bool:
        """True if some loss on its way was not finite."""
        return self.diverged_step is not None

    @classmethod
    def from_0_1(cls, data: dict[str, Any]) -> dict[str, Any]:
        """The fields of a record of version 0.1, from the ``data`` of its journal line."""
        curvature = ("largest_eigenvalue", "trace", "trace_error", "tolerance", "products")
        fields = {key: value for key, value in data.items() if key not in curvature}
        if "largest_eigenvalue" in data:
            fields["sharpness"] = {key: data[key] for key in curvature}
        return fields
