"""The questions that gr-bench answers, by name. An experiment is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

from gr_bench.errors import RequestError
from gr_bench.plugins.place import PlugIn
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


def get_experiment(name: str) -> Experiment[Any, Any]:
    """The experiment of that name.

    Raises:
        RequestError: there is none, or it cannot be imported.
    """
    return _made(name, EXPERIMENTS.admitted.get(name))


@cache
def _made(name: str, plugin: PlugIn | None) -> Experiment[Any, Any]:
    """The experiment of that name; of plug-ins of one name, each has its own."""
    found: Experiment[Any, Any] = EXPERIMENTS.find(name)()
    return found


def admit_experiment(place: str) -> str:
    """The name of an experiment that stands in a file or in a module: its class's ``name``.

    Raises:
        RequestError: as in :meth:`gr_bench.registry.Registry.admit`, or it is no experiment, with
            the line that would be right.
    """
    from gr_bench.experiments.plug_in import check_experiment

    name = EXPERIMENTS.admit(place)
    check_experiment(EXPERIMENTS.find(name), place, name)
    return name


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


def known_experiments(
    plugins: Iterable[PlugIn],
) -> tuple[dict[str, Experiment[Any, Any]], dict[str, str]]:
    """All experiments by name, those of a run's plug-ins included; and, of those plug-ins that
    cannot be had here as they were when the run was made, the reason.
    """
    found, missing = all_experiments(), {}
    for plugin in plugins:
        if plugin.kind != EXPERIMENTS.kind or plugin.name in found:
            continue
        before = EXPERIMENTS.admitted.get(plugin.name)
        EXPERIMENTS.admitted[plugin.name] = plugin
        try:
            found[plugin.name] = get_experiment(plugin.name)
        except RequestError as error:
            missing[plugin.name] = str(error)
            del EXPERIMENTS.admitted[plugin.name]
            if before is not None:
                EXPERIMENTS.admitted[plugin.name] = before
    return found, missing
