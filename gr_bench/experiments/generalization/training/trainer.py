"""Trainers of one run or of many in step: the common part of the loop and the fleet."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from gr_bench import registry
from gr_bench.experiments.generalization.cell import GeneralizationCell
from gr_bench.experiments.generalization.record import TrainerName
from gr_bench.experiments.generalization.training.pieces import bytes_an_example, piece_size
from gr_bench.experiments.generalization.training.splits import AnyPart, SplitPart, Splits
from gr_bench.meters.device import Device
from gr_bench.methods import Method
from gr_bench.timing.step import Training, build_training
from gr_bench.workloads.augmentation import AUGMENTATIONS
from gr_bench.workloads.datasets import Dataset


@dataclass(frozen=True)
class Evaluation:
    """A model on a whole part of the data, in evaluation mode."""

    loss: float
    accuracy: float
    gradient_norm: float | None
    hits: NDArray[np.bool_] | None = field(default=None, compare=False)
    """Of every sample, in the order of the part, if asked for: the largest logit is the class's."""


class Trainer(ABC):
    """R runs of one architecture, batch size and length, each with its own draws.

    A run sees the parts of its own split. Its data order and augmentation come from a generator
    that its seed alone decides, so they depend neither on what it is trained together with nor on
    the device. An epoch's are drawn on the host at its start and moved at once: no step copies or
    waits.

    Args:
        cells: one for each run.
        data: on the device, in the cells' dtype; of one split for all of them, or of several.
    """

    name: ClassVar[TrainerName]
    """Its name in records."""

    def __init__(
        self, cells: Sequence[GeneralizationCell], data: Dataset | Splits, device: Device
    ) -> None:
        self.cells = cells
        self.device = device
        self.splits = data if isinstance(data, Splits) else Splits({cells[0].split_seed: data})
        self.parts = self.splits.parts(cells)
        self._data = self.splits.of(cells[0])  # of the shapes that all runs' data have
        self._draws = [torch.Generator().manual_seed(cell.seed) for cell in cells]
        self._augmentation = AUGMENTATIONS.get(cells[0].augmentation)
        # the last, incomplete batch is left out, as a batch of one breaks batch norm
        self.steps_per_epoch = len(self._data.train) // cells[0].batch_size
        self._is_new = True  # no step has been made
        self._examples: int | None = None  # that fit into the memory together, once it is known

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch's mini-batches: inputs (R, B, ...) and targets (R, B, ...)."""
        train, size = self.parts.train, self.cells[0].batch_size
        if self.cells[0].method_source:  # a plug-in's contract is looked at once an epoch
            self._is_new = True
        orders = torch.stack([torch.randperm(len(train), generator=own) for own in self._draws])
        orders = orders.to(self.device.torch_device)
        if isinstance(train, SplitPart):
            orders = orders + train.offsets
        draws = self._augmentation_draws()
        for index in range(self.steps_per_epoch):
            chosen = orders[:, index * size : (index + 1) * size]
            inputs = train.inputs[chosen]
            if self._augmentation is not None and draws is not None:
                own = draws[:, index].flatten(0, 1)
                inputs = self._augmentation.apply(inputs.flatten(0, 1), own).view_as(inputs)
            yield inputs, train.targets[chosen]

    def _augmentation_draws(self) -> Tensor | None:
        """One epoch's draws of every run, batch by batch, on the device: (R, steps, B, n)."""
        if self._augmentation is None:
            return None
        size, steps = self.cells[0].batch_size, range(self.steps_per_epoch)
        draws = [
            torch.stack([self._augmentation.draw(size, own) for _ in steps]) for own in self._draws
        ]
        return torch.stack(draws).to(self.device.torch_device)

    def _built(self, cell: GeneralizationCell) -> Training:
        """A run's model, optimizer and method at its start."""
        return build_training(
            cell,
            self._data,
            registry,
            seed=cell.seed,
            learning_rate=cell.learning_rate,
            momentum=cell.momentum or 0.0,
            weight_decay=cell.weight_decay or 0.0,
            own_weight_decay=cell.weight_decay,
            steps=self.steps,
        )

    @property
    def steps(self) -> int:
        """Steps in a whole training."""
        return self.cells[0].epochs * self.steps_per_epoch

    def passes(self, run: int, done: int, taken: int) -> float:
        """Forward-backward passes in the first steps of a run.

        Args:
            run: its number.
            done: those steps.
            taken: steps that have been taken in all, perhaps more.
        """
        return registry.build_method(self.cells[run].spec).passes_in(done, self.steps)

    @property
    @abstractmethod
    def method(self) -> Method:
        """The method of all runs."""

    @abstractmethod
    def model(self, run: int) -> nn.Module:
        """A run's model as it is now, in evaluation mode; valid until the next call of anything."""

    @abstractmethod
    def step(self, inputs: Tensor, targets: Tensor, rate: float) -> Tensor:
        """One training step of every run; returns the detached losses before it, (R,).

        Args:
            inputs: (R, B, ...).
            targets: (R, B, ...).
            rate: factor on every run's own learning rate.
        """

    @abstractmethod
    def parameter_norms(self) -> list[float]:
        """‖θ‖₂ of every run."""

    def state(self) -> dict[str, Any]:
        """All that training goes on from, as tensors and plain data (see :meth:`load_state`)."""
        return {
            "draws": [draws.get_state() for draws in self._draws],
            "examples": self._examples,
            "own": self._own_state(),
            "method": self.method.state_dict(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Be where the trainer was that gave ``state``, to the bit."""
        for draws, own in zip(self._draws, state["draws"], strict=True):
            draws.set_state(own)
        self._examples = state.get("examples")  # version 0.1 kept none
        self._set_own_state(state["own"])
        on_device = partial(_to, self.device.torch_device)
        self.method.load_state_dict(tree_map(on_device, state.get("method", {})))

    @abstractmethod
    def _own_state(self) -> dict[str, Any]:
        """Parameters, buffers and what the optimizer remembers."""

    @abstractmethod
    def _set_own_state(self, state: dict[str, Any]) -> None:
        """The opposite of :meth:`_own_state`."""

    def piece(self, graphs: int = 1) -> int:
        """Examples of a piece in which a whole part is evaluated; it changes no result but by
        rounding.

        Args:
            graphs: of a forward pass that are kept at once.
        """
        if self._examples is None:
            of_a_run = bytes_an_example(self.model(0), self._data.train)
            self._examples = self.device.spare_bytes() // (of_a_run * len(self.cells))
        return piece_size(self._examples // graphs)

    @abstractmethod
    def evaluate(
        self, part: AnyPart, *, with_gradient: bool = False, with_hits: bool = False
    ) -> list[Evaluation]:
        """Mean loss and accuracy of every run over a part; ‖∇L‖ of that loss, and which samples are
        hit, if asked for.
        """


def _to(device: torch.device, value: Any) -> Any:
    return value.to(device) if isinstance(value, Tensor) else value
