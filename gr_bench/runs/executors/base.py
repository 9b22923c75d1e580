"""What an executor is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

from gr_bench.experiments.base import Job, Progress, Record, Unit


@dataclass(frozen=True)
class Started:
    """A unit is being measured."""

    unit: Unit


@dataclass(frozen=True)
class Measured:
    """A unit yielded something."""

    unit: Unit
    result: Record | Progress


@dataclass(frozen=True)
class Finished:
    """A unit is done; whatever it had to say has been said."""

    unit: Unit


@dataclass(frozen=True)
class Crashed:
    """A unit ended without finishing: a dead worker, a time-out."""

    unit: Unit
    reason: str


Event = Started | Measured | Finished | Crashed


class Executor(ABC):
    """Measures the units of a job and tells what happens."""

    @abstractmethod
    def run(self, job: Job, timeout_s: float) -> Iterator[Event]:
        """Measure every unit of the job; every unit ends as finished or crashed, just once.

        Closing the iterator stops what is under way.
        """
