"""The questions that gr-bench answers, by name. An experiment is imported when it is asked for."""

from __future__ import annotations

import pkgutil
from functools import cache
from typing import TYPE_CHECKING, Any

from gr_bench.registry import plugin_entry_points

if TYPE_CHECKING:
    from gr_bench.experiments.experiment import Experiment

BUILT_IN = {
    "step_cost": "gr_bench.experiments.step_cost.experiment:StepCost",
    "generalization": "gr_bench.experiments.generalization.experiment:Generalization",
    "implicit_bias": "gr_bench.experiments.implicit_bias.experiment:ImplicitBias",
    "flooding": "gr_bench.experiments.flooding.experiment:FloodingTraces",
}
"""Where the built-in experiments are, in the order in which a run does them."""

GROUP = "gr_bench.experiments"
"""The entry points by which other packages add theirs."""


def experiment_names() -> list[str]:
    """The built-in experiments, then those of other packages."""
    plugins = [entry.name for entry in plugin_entry_points(GROUP)]
    return [*BUILT_IN, *(name for name in plugins if name not in BUILT_IN)]


@cache
def get_experiment(name: str) -> Experiment[Any, Any]:
    """The experiment of that name.

    Raises:
        KeyError: there is none.
    """
    found: Experiment[Any, Any]
    if name in BUILT_IN:
        found = pkgutil.resolve_name(BUILT_IN[name])()
        return found
    for entry in plugin_entry_points(GROUP):
        if entry.name == name:
            found = entry.load()()
            return found
    raise KeyError(name)


def all_experiments() -> dict[str, Experiment[Any, Any]]:
    """Every experiment by name."""
    return {name: get_experiment(name) for name in experiment_names()}
