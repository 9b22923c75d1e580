"""The implicit-bias cell, and the grid that spans such cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field, field_validator

from gr_bench.experiments.cell import Cell
from gr_bench.experiments.grid import AnyGrid, DeviceName, Methods, Names, known
from gr_bench.experiments.implicit_bias.families import FAMILIES
from gr_bench.experiments.implicit_bias.problem import PROBLEMS, build_problem
from gr_bench.spec import parse

MODEL = "diagonal-linear"


@dataclass(frozen=True, kw_only=True)
class ImplicitBiasCell(Cell):
    """Gradient descent of one diagonal linear network on one problem, from w± = α.

    ``dataset`` is the problem without its seed, ``batch_size`` all its samples.
    """

    experiment: ClassVar[str] = "implicit_bias"

    seed: int
    """Of the problem: descent itself has nothing random."""

    alpha: float
    step: float
    tolerance: float
    most_steps: int

    @property
    def batch_key(self) -> tuple[Any, ...]:
        """The common part of cells that can be followed in one array."""
        return (self.dataset, self.family, self.step, self.tolerance, self.most_steps)

    @property
    def family(self) -> str:
        """Of the method's rule."""
        return FAMILIES[parse(self.spec).name]

    def __str__(self) -> str:
        rest = f"alpha {self.alpha:g} / seed {self.seed} / {self.spec}"
        return f"{self.experiment} / {self.model} / {self.dataset} / {rest}"


Positive = Annotated[float, Field(gt=0)]


class ImplicitBiasGrid(AnyGrid):
    """Solutions to be found. The network is always the diagonal linear one, in float64."""

    methods: Methods
    problems: Names
    """As ``sparse-regression(feature_mean=[0, 1])``, without a seed."""

    alphas: Annotated[list[Positive], Field(min_length=1)] = [0.1]
    """w₊ = w₋ = α at the start: small is the rich regime, large the kernel regime."""

    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = list(range(20))
    """A problem each."""

    step: Annotated[float, Field(gt=0, lt=1)] = 2e-4
    """The largest relative change of a weight in a step: the smaller, the nearer to the flow."""

    tolerance: Annotated[float, Field(gt=0, lt=1)] = 1e-5
    """A run is done when ‖Xβ - y‖/‖y‖ is no more than this."""

    most_steps: Annotated[int, Field(ge=1)] = 500_000
    """A run that is not done by then is left as it is, and counted."""

    device: DeviceName = "cpu"
    """Of the suite. These problems are small: they are always solved on the CPU."""

    @field_validator("methods")
    @classmethod
    def _in_closed_form(cls, texts: list[str]) -> list[str]:
        for text in texts:
            if parse(text).name not in FAMILIES:
                names = ", ".join(FAMILIES)
                raise ValueError(f"there is no theory for {text!r}: use {names}")
        return texts

    @field_validator("problems")
    @classmethod
    def _known_problems(cls, texts: list[str]) -> list[str]:
        texts = known(texts, PROBLEMS)
        for text in texts:
            if "seed" in parse(text).parameters:
                raise ValueError(f"{text!r}: set the seed through seeds")
            build_problem(text, seed=0)
        return texts
