"""The options of a unit of trainings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gr_bench.experiments.experiment import Options
from gr_bench.experiments.generalization.cell import TrainerChoice


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(Options):
    """Settings by which a unit's cells are trained."""

    kind: ClassVar[str] = "trainings"

    trainer: TrainerChoice
    checkpoint_s: float
    """Seconds, at least, between two checkpoints."""

    evaluate_every: int = 1
    """Epochs from one evaluation to the next."""
