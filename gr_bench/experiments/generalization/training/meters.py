"""Quantities of a user's own, read off a trained model."""

from __future__ import annotations

import copy
import traceback
from collections.abc import Iterable, Mapping

import torch
from torch import nn

from gr_bench import registry
from gr_bench.meters.cuda_context import is_broken
from gr_bench.spec import parse
from gr_bench.workloads.datasets import Dataset

SINGLE = ""
"""The name of the value of a meter that gives a number and not several by name."""


def read_meters(
    specs: Iterable[str], model: nn.Module, data: Dataset
) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """The values of meters by spec and by name, and the reasons of those that gave none.

    A meter is a function ``def meter(model, data, **parameters) -> float | dict[str, float]``. Each
    gets a copy of the model in evaluation mode, random numbers from seed 0, and the data set on the
    model's device; numbers may be tensors with one entry. One that raises costs its values alone.
    """
    values, errors = {}, {}
    for text in specs:
        try:
            with torch.random.fork_rng(), torch.enable_grad():
                torch.manual_seed(0)
                spec = parse(text)
                meter = registry.METERS.resolve(spec, given=2)
                found = meter(copy.deepcopy(model).eval(), data)
                named = found if isinstance(found, Mapping) else {SINGLE: found}
                values[text] = {str(name): float(value) for name, value in named.items()}
        except (Exception, SystemExit) as error:  # somebody's code
            if is_broken():  # nothing can be read from here any more
                raise
            traceback.print_exc()
            errors[text] = f"{type(error).__name__}: {error}"
    return values, errors
