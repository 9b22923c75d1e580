"""The flooding cell, and the grid that spans such cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field, field_validator

from gr_bench.experiments.cell import Cell
from gr_bench.experiments.grid import Dtype, Grid
from gr_bench.spec import parse

METHOD = "flooding"
"""The only method that is traced."""


@dataclass(frozen=True, kw_only=True)
class FloodingCell(Cell):
    """One training with flooding: plain gradient steps at one learning rate, no momentum."""

    experiment: ClassVar[str] = "flooding"

    seed: int
    steps: int
    learning_rate: float
    fresh: bool
    """True if every step has a mini-batch of its own; else all have the same one."""

    def __str__(self) -> str:
        batches = "fresh batches" if self.fresh else "one batch"
        how = f"lr {self.learning_rate:g} / {self.steps} steps / {batches} / seed {self.seed}"
        return f"{super().__str__()} / {how}"


class FloodingGrid(Grid):
    """Trainings to be traced."""

    dtypes: Annotated[list[Dtype], Field(min_length=1)] = ["float64"]
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = [0, 1, 2]
    steps: Annotated[int, Field(ge=2)] = 400
    learning_rate: Annotated[float, Field(gt=0)] = 0.1
    fresh: Annotated[list[bool], Field(min_length=1)] = [False]
    """True if every step has a mini-batch of its own; else all have the same one."""

    @field_validator("methods")
    @classmethod
    def _flooding_alone(cls, texts: list[str]) -> list[str]:
        for text in texts:
            if parse(text).name != METHOD:
                raise ValueError(f"{text!r} cannot be traced: give flooding with its levels")
        return texts
