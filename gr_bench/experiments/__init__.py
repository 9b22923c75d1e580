"""The questions that gr-bench answers, by name. An experiment is imported when it is asked for."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from gr_bench.errors import RequestError
from gr_bench.registry import Registry

if TYPE_CHECKING:
    from gr_bench.experiments.experiment import Experiment

EXPERIMENTS = Registry(
    "experiment",
    {
        "step_cost": "gr_bench.experiments.step_cost.experiment:StepCost",
        "generalization": "gr_bench.experiments.generalization.experiment:Generalization",
        "implicit_bias": "gr_bench.experiments.implicit_bias.experiment:ImplicitBias",
        "flooding": "gr_bench.experiments.flooding.experiment:FloodingTraces",
        "modified_flow": "gr_bench.experiments.modified_flow.experiment:ModifiedFlow",
    },
)
"""The built-in experiments, in the order in which a run does them, and those of other packages."""


@cache
def get_experiment(name: str) -> Experiment[Any, Any]:
    """The experiment of that name.

    Raises:
        RequestError: there is none, or it cannot be imported.
    """
    found: Experiment[Any, Any] = EXPERIMENTS.find(name)()
    return found


def all_experiments() -> dict[str, Experiment[Any, Any]]:
    """Every experiment by name, without those of other packages that cannot be imported here."""
    found = {}
    for name in EXPERIMENTS:
        try:
            found[name] = get_experiment(name)
        except RequestError:
            if EXPERIMENTS.own(name) is not None:
                raise
    return found
