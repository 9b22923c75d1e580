"""The modified-flow cell, and the grid that spans such cells."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from gr_bench.experiments.cell import Cell
from gr_bench.experiments.grid import AnyGrid, DeviceName, Methods, Names, known
from gr_bench.experiments.modified_flow.problem import PROBLEMS, build_problem, samples_of
from gr_bench.spec import parse

MOST_ORDERS = 5
"""Mini-batches of an epoch at most: all their orders are gone through, 120 of five."""

DATASET = "own samples"
"""In the place of a data set: a problem draws its samples."""


@dataclass(frozen=True, kw_only=True)
class ModifiedFlowCell(Cell):
    """Steps of one size on one problem. ``model`` is the problem without its seed."""

    experiment: ClassVar[str] = "modified_flow"

    seed: int
    """Of the problem; descent itself has nothing random."""

    batches: int
    """m, the mini-batches of an epoch; 1 is gradient descent."""

    step: float
    """τ = m·h·λ, with λ the largest eigenvalue of the Hessian of the loss at the start: how far an
    epoch of m steps of size h goes, by the curvature."""

    part: Literal["epoch", "path"]
    """``epoch``: one epoch beside the flows; ``path``: descent to a given time."""

    time: float = 0.0
    """Of a path, by the curvature: λ·t. A path has time/step steps."""

    def __str__(self) -> str:
        length = f", time {self.time:g}" if self.part == "path" else ""
        rest = f"{self.part} of {self.batches} / step {self.step:g}{length} / seed {self.seed}"
        return f"{self.experiment} / {self.model} / {rest}"


Steps = list[Annotated[float, Field(gt=0, lt=2)]]


class ModifiedFlowGrid(AnyGrid):
    """Epochs and paths of descent to be held to flows, in float64."""

    methods: Methods = ["sgd"]
    """SGD alone: the flows that explicit GR follows are computed beside it."""

    problems: Names
    """As ``product``, without a seed."""

    batches: Annotated[list[Annotated[int, Field(ge=1, le=MOST_ORDERS)]], Field(min_length=1)] = [
        1,
        3,
    ]
    """Mini-batches of an epoch; they divide the samples of every problem."""

    steps: Steps = [0.05, 0.025, 0.0125, 0.00625]
    """Of single epochs: m·h·λ, with λ the largest curvature at the start."""

    path_steps: Steps = [0.2, 0.4, 0.8]
    """Of gradient descent for the whole ``time``, likewise."""

    time: Annotated[float, Field(gt=0)] = 80.0
    """Of the paths, times λ; the same for every step."""

    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = list(range(10))
    """A problem and a start each."""

    device: DeviceName = "cpu"
    """Of the suite. These problems are small: they are always solved on the CPU."""

    @field_validator("methods")
    @classmethod
    def _sgd_alone(cls, texts: list[str]) -> list[str]:
        for text in texts:
            if parse(text).name != "sgd":
                raise ValueError(f"{text!r} has no modified flow here: use sgd")
        return texts

    @field_validator("problems")
    @classmethod
    def _known_problems(cls, texts: list[str]) -> list[str]:
        texts = known(texts, PROBLEMS)
        for text in texts:
            if "seed" in parse(text).parameters:
                raise ValueError(f"{text!r}: set the seed through seeds")
            if parse(text).arguments:  # else there is nothing to be wrong, and no need of PyTorch
                build_problem(text, seed=0)
        return texts

    @model_validator(mode="after")
    def _in_whole_parts(self) -> Self:
        for text in self.problems:
            samples = samples_of(text)
            for batches in self.batches:
                if samples % batches:
                    raise ValueError(f"{batches} batches do not divide {text}'s {samples} samples")
        for step in self.path_steps:
            if not math.isclose(self.time / step, round(self.time / step)):
                raise ValueError(f"time {self.time:g} is not a whole number of steps of {step:g}")
        return self
