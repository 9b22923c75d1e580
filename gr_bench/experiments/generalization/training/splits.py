"""The data of runs on several splits: every split once on the device, parts side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from gr_bench import registry
from gr_bench.experiments.generalization.cell import GeneralizationCell
from gr_bench.timing.step import load_data
from gr_bench.workloads.datasets import Dataset, Part
from gr_bench.workloads.label_noise import with_label_noise

MOST_BYTES = 1 << 30
"""Of all splits of a unit together: where they are more, runs on different splits are trained one
split after the other."""


@dataclass(frozen=True, eq=False)
class SplitPart:
    """One part of the data of R runs, each with the samples of its own split.

    Attributes:
        inputs: (S·N, *input_shape), split after split.
        targets: int64, (S·N,) or (S·N, T).
        size: N.
        of_run: the number of each run's split, int64, (R,).
    """

    inputs: Tensor
    targets: Tensor
    size: int
    of_run: Tensor

    def __len__(self) -> int:
        return self.size

    @property
    def offsets(self) -> Tensor:
        """The place of each run's first sample, (R, 1)."""
        return (self.of_run * self.size)[:, None]

    def pieces(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs (R, n, ...) and targets (R, n, ...), n = ``size`` but for the last piece."""
        for first in range(0, self.size, size):
            last = min(first + size, self.size)
            places = self.offsets + torch.arange(first, last, device=self.of_run.device)
            yield self.inputs[places], self.targets[places]


AnyPart = Part | SplitPart


class Parts(NamedTuple):
    """The parts that a trainer's runs see: common to all runs, or each run its own."""

    train: AnyPart
    validation: AnyPart
    test: AnyPart


class Splits:
    """One data set divided in several ways, on one device.

    Args:
        data: by split seed; inputs and parts of the same sizes.
    """

    def __init__(self, data: Mapping[int, Dataset]) -> None:
        self._numbers = {seed: number for number, seed in enumerate(data)}
        self._datasets = dict(data)
        self._stacked: list[Part] = []
        if len(data) > 1:
            self._stacked = [
                _stack(parts) for parts in zip(*map(_parts, data.values()), strict=True)
            ]
            for seed, number in self._numbers.items():  # views, so that nothing is there twice
                train, validation, test = (self._view(part, number) for part in self._stacked)
                own = replace(data[seed], train=train, validation=validation, test=test)
                self._datasets[seed] = own

    def of(self, cell: GeneralizationCell) -> Dataset:
        """The data of one run."""
        return self._datasets[cell.split_seed]

    def parts(self, cells: Sequence[GeneralizationCell]) -> Parts:
        """The parts of runs that are trained together."""
        if len({cell.split_seed for cell in cells}) == 1:
            data = self.of(cells[0])
            return Parts(data.train, data.validation, data.test)
        device = self.of(cells[0]).train.inputs.device
        of_run = torch.tensor([self._numbers[cell.split_seed] for cell in cells], device=device)
        count = len(self._numbers)
        parts = [
            SplitPart(own.inputs, own.targets, len(own) // count, of_run) for own in self._stacked
        ]
        return Parts(*parts)

    def _view(self, stacked: Part, number: int) -> Part:
        size = len(stacked) // len(self._numbers)
        here = slice(number * size, (number + 1) * size)
        return Part(stacked.inputs[here], stacked.targets[here])


class SplitLoader:
    """The data of a unit's cells, loaded when it is asked for.

    All splits are kept where they are alike in shape and take at most ``MOST_BYTES``; otherwise one
    at a time.

    Args:
        cells: alike in everything but seeds, learning rate and the numbers of their method.

    Raises:
        RequestError: as :func:`~gr_bench.timing.step.load_data` does, as do the methods.
    """

    def __init__(self, cells: Sequence[GeneralizationCell]) -> None:
        by_seed = {cell.split_seed: cell for cell in cells}
        first = next(iter(by_seed.values()))
        data = {first.split_seed: _load(first)}
        self._kept = Splits(data)
        self._together = len(by_seed) == 1
        if not self._together and len(by_seed) * _bytes(data[first.split_seed]) <= MOST_BYTES:
            data |= {seed: _load(cell) for seed, cell in by_seed.items() if seed not in data}
            if len({_shapes(own) for own in data.values()}) == 1:
                self._together, self._kept = True, Splits(data)
        self._seed = first.split_seed

    def groups(self, cells: Sequence[GeneralizationCell]) -> list[list[GeneralizationCell]]:
        """The cells that can be trained together as far as their data go."""
        if self._together:
            return [list(cells)]
        groups: dict[int, list[GeneralizationCell]] = {}
        for cell in cells:
            groups.setdefault(cell.split_seed, []).append(cell)
        return list(groups.values())

    def load(self, cells: Sequence[GeneralizationCell]) -> Splits:
        """The data of cells of one group."""
        if not self._together and self._seed != cells[0].split_seed:
            self._kept = Splits({})  # memory for one of them
            self._kept = Splits({cells[0].split_seed: _load(cells[0])})
            self._seed = cells[0].split_seed
        return self._kept


def _load(cell: GeneralizationCell) -> Dataset:
    """The data of a cell on its device, labels as noisy as it says."""
    return with_label_noise(load_data(cell, registry), cell.label_noise, cell.split_seed)


def _stack(parts: Sequence[Part]) -> Part:
    return Part(
        torch.cat([part.inputs for part in parts]), torch.cat([part.targets for part in parts])
    )


def _parts(data: Dataset) -> tuple[Part, Part, Part]:
    return data.train, data.validation, data.test


def _tensors(data: Dataset) -> list[Tensor]:
    return [tensor for part in _parts(data) for tensor in (part.inputs, part.targets)]


def _bytes(data: Dataset) -> int:
    return sum(tensor.nbytes for tensor in _tensors(data))


def _shapes(data: Dataset) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(tensor.shape) for tensor in _tensors(data))
