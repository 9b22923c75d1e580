"""The questions that gr-bench answers, by name."""

from __future__ import annotations

from gr_bench.experiments.base import Experiment
from gr_bench.experiments.flooding import FloodingTraces
from gr_bench.experiments.generalization import Generalization
from gr_bench.experiments.implicit_bias import ImplicitBias
from gr_bench.experiments.step_cost import StepCost
from gr_bench.registry import added

__all__ = ["EXPERIMENTS", "Experiment", "all_experiments"]

EXPERIMENTS: tuple[Experiment, ...] = (
    StepCost(),
    Generalization(),
    ImplicitBias(),
    FloodingTraces(),
)
"""The built-in experiments, in the order in which a run does them."""


def all_experiments() -> dict[str, Experiment]:
    """The built-in experiments, then those of other packages, by name."""
    found = [entry.load()() for entry in added("gr_bench.experiments")]
    return {experiment.name: experiment for experiment in (*EXPERIMENTS, *found)}
