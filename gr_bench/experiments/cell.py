"""A cell: one point of a grid, and everything that decides its result."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One point of a grid: everything that decides its result. Experiments add their own fields."""

    experiment: ClassVar[str]

    spec: str
    """The method as a suite spells it, parameters in full: ``f-gr(gamma=0.1, epsilon=0.05)``."""

    model: str
    dataset: str
    batch_size: int
    device: str
    dtype: str
    threads: int
    compiled: bool = False

    @property
    def id(self) -> str:
        """Identity: a hash of the experiment's name and all fields."""
        text = json.dumps([self.experiment, dataclasses.asdict(self)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def workload(self) -> tuple[Any, ...]:
        """The common part of the cells of one comparison: everything but the method."""
        rest = dataclasses.asdict(self)
        del rest["spec"]
        return tuple(rest.items())

    @classmethod
    def from_0_1(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """The fields of a cell of gr-bench 0.1, where ``spec`` was called ``method``."""
        rest = {key: value for key, value in fields.items() if key != "method"}
        return {"spec": fields["method"], **rest}

    def __str__(self) -> str:
        how = " compiled" if self.compiled else ""
        size = f"batch {self.batch_size}{how}"
        return " / ".join((self.experiment, self.model, self.dataset, size, self.spec))


@dataclass(frozen=True, kw_only=True)
class TimedCell(Cell, ABC):
    """A cell whose step is timed, together with the others of its block."""

    @property
    @abstractmethod
    def block(self) -> tuple[Any, ...]:
        """The common part of the cells of a block, which are timed in the same rounds."""

    @property
    @abstractmethod
    def is_baseline(self) -> bool:
        """True if the others of the block are divided by it."""

    @property
    @abstractmethod
    def is_control(self) -> bool:
        """True if it is the baseline a second time: its ratio to the first is 1 but for noise."""
