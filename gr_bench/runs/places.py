"""Places for worker processes: one a GPU, which it sees alone, and one for every free core."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import psutil

from gr_bench.errors import RequestError
from gr_bench.experiments.experiment import Job, Unit

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""The variable by which a process is shown some GPUs only."""


@dataclass(frozen=True)
class Place:
    """A place for one worker process at a time."""

    gpu: str | None = None
    """The GPU that it has for itself, as :data:`VISIBLE` names it; None for processors alone."""

    devices: Collection[str] = frozenset({"cpu"})
    """The devices, as cells call them, that are measured here."""

    @property
    def device(self) -> str:
        """The one device, as a process that runs here calls it."""
        return "cpu" if self.gpu is None else "cuda:0"

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables of a process that runs here."""
        return {VISIBLE: self.gpu or ""}

    def takes(self, unit: Unit[Any]) -> bool:
        """True if a unit is measured here."""
        return unit.cells[0].device in self.devices


def places_for(
    job: Job[Any], processes: int | None = None, gpus: Sequence[str] | None = None
) -> list[Place]:
    """The places at which a job's units are measured side by side; of an exclusive one, in turn.

    Args:
        job: the units.
        processes: how many work on processors alone; by default one for as many physical cores as
            a cell wants threads. An exclusive job has one.
        gpus: the names of the GPUs (see :func:`visible_gpus`, which is the default).

    Raises:
        RequestError: a unit is for a GPU that is not here.
    """
    units = job.units
    found: list[Place] = []
    if any(unit.cells[0].device == "cpu" for unit in units):
        threads = max(cell.threads for unit in units for cell in unit.cells)
        cores = psutil.cpu_count(logical=False) or os.cpu_count() or 1
        count = 1 if job.exclusive else processes or max(1, cores // threads)
        found += count * [Place()]
    wanted = {device for unit in units if (device := unit.cells[0].device) != "cpu"}
    if not wanted:
        return found
    names = visible_gpus() if gpus is None else gpus
    for index, name in enumerate(names):
        devices = {f"cuda:{index}"} | ({"cuda"} if job.any_gpu or index == 0 else set())
        if devices & wanted:
            found.append(Place(name, frozenset(devices)))
    for device in sorted(wanted):
        if not any(device in place.devices for place in found):
            raise RequestError(
                f"device {device!r} does not exist here: {len(names)} GPUs are visible"
            )
    return found


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, ``cuda:0`` first, as :data:`VISIBLE` names them.

    Where the variable is set already, by a scheduler or by hand, they are its entries: numbers, or
    UUIDs of GPUs or of their MIG slices.
    """
    import torch

    count = torch.cuda.device_count()
    given = os.environ.get(VISIBLE)
    names = list(map(str, range(count))) if given is None else given.split(",")
    return [name.strip() for name in names[:count]]
