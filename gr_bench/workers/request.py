"""A unit as plain data, in which it goes to another process or machine."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from gr_bench.experiments import get_experiment
from gr_bench.experiments.experiment import Unit
from gr_bench.workers.channel import Message


def unit_as_plain(unit: Unit[Any]) -> Message:
    """A unit's cells, options and folder, without the process that it is measured in."""
    return {
        "experiment": unit.cells[0].experiment,
        "cells": [asdict(cell) for cell in unit.cells],
        "options": {"kind": unit.options.kind, **asdict(unit.options)},
        "folder": None if unit.folder is None else str(unit.folder),
    }


def unit_from_plain(plain: Message) -> Unit[Any]:
    """The unit that :func:`unit_as_plain` described.

    Raises:
        RequestError: its experiment is not here.
    """
    experiment = get_experiment(plain["experiment"])
    settings = dict(plain["options"])
    kind = settings.pop("kind")
    (options,) = (cls(**settings) for cls in experiment.options if cls.kind == kind)
    folder = None if plain["folder"] is None else Path(plain["folder"])
    return Unit(tuple(experiment.cell(**fields) for fields in plain["cells"]), options, folder)
