"""A dataset, its parts, and their scale."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from gr_bench.errors import RequestError
from gr_bench.workloads.datasets.labels import Labels, divide, encode_labels
from gr_bench.workloads.datasets.split import DRAWN, Indices, Split, redraw

Unit = Literal["byte"]


@dataclass(frozen=True, eq=False)
class Part:
    """Samples of one part of a dataset.

    Attributes:
        inputs: (N, *input_shape).
        targets: int64, (N,), or (N, T) for one target a position.

    Raises:
        ValueError: the two differ in length.
    """

    inputs: Tensor
    targets: Tensor

    def __post_init__(self) -> None:
        if len(self.inputs) != len(self.targets):
            raise ValueError(
                f"a part needs as many targets as inputs, not {len(self.targets)} for "
                f"{len(self.inputs)}"
            )

    def __len__(self) -> int:
        return len(self.inputs)

    def pieces(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and targets of ``size`` samples at a time; the last piece may have fewer."""
        return zip(self.inputs.split(size), self.targets.split(size), strict=True)

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Part:
        """This part on ``device``; floating-point inputs become ``dtype``, whole numbers stay."""
        dtype = dtype if self.inputs.is_floating_point() else None
        return Part(self.inputs.to(device=device, dtype=dtype), self.targets.to(device=device))


@dataclass(frozen=True, eq=False)
class Dataset:
    """A classification problem in three parts without a sample in common.

    Attributes:
        name: the name in ``DATASETS``.
        train: what a model is fitted to.
        validation: what hyper-parameters are chosen on.
        test: what is read once.
        num_classes: K; targets are whole numbers in [0, K).
        kind: whether the samples were observed in the world or made by a program.
        source: one line that says where the data come from.
        split: one line that says how the parts were made.
        classes: names of the classes in the order of their numbers; none if these are their names.
        unit: of text, ``byte`` if a target is one: its loss is then known in bits per byte, too.
        places: of the parts' samples in the data as they were before; None if that is not known.
        redraw: gives the same data divided by another seed, of 1 or more; None where the parts are
            fixed.
    """

    name: str
    train: Part
    validation: Part
    test: Part
    num_classes: int
    kind: Literal["real", "synthetic"]
    source: str
    split: str
    classes: tuple[str, ...] = ()
    unit: Unit | None = None
    places: Split | None = None
    redraw: Callable[[int], Dataset] | None = None

    @classmethod
    def divided(
        cls,
        build: Callable[[Split], Dataset],
        first: Split,
        targets: Indices,
        drawn: Collection[str] = DRAWN,
    ) -> Dataset:
        """The dataset of its own split, which can be divided anew
        (:func:`gr_bench.workloads.datasets.split.redraw`).

        Args:
            build: makes the dataset of any split of its samples; standardises by the train part.
            first: the dataset's own split, number 0.
            targets: class of every sample, (N,), in the order that splits speak of.
            drawn: the parts that were drawn, ``validation``, ``test`` or both; without any, the
                parts are fixed.
        """

        def again(seed: int) -> Dataset:
            split = redraw(targets, first, seed, drawn)
            data = build(split)
            anew = "test" if "test" in drawn else "validation"
            words = f"{data.split}; train and {anew} divided anew by split seed {seed}"
            return replace(data, places=split, split=words)

        return replace(build(first), places=first, redraw=again if drawn else None)

    def redrawn(self, split_seed: int) -> Dataset:
        """These data with the parts of another split: 0 is the split that they come with.

        The train and the test part are divided anew, with as many samples of every class; the
        validation part stays, so that numbers that were chosen by it are judged by other samples in
        every split. A test part that was given, such as a published one, stays as it is; then train
        and validation part are divided anew.

        Raises:
            RequestError: the parts are fixed, or the data cannot be used when so divided.
        """
        if split_seed == 0:
            return self
        if self.redraw is None:
            raise RequestError(f"the parts of dataset {self.name!r} are fixed: write splits = 0")
        try:
            return replace(self.redraw(split_seed), classes=self.classes)
        except ValueError as error:
            raise RequestError(f"dataset {self.name!r}, split {split_seed}: {error}") from error

    @classmethod
    def from_arrays(
        cls,
        x: Any,
        y: Any,
        *,
        x_validation: Any = None,
        y_validation: Any = None,
        x_test: Any = None,
        y_test: Any = None,
        validation: float = 0.2,
        test: float = 0.2,
        seed: int = 0,
        num_classes: int | None = None,
        standardise: bool | None = None,
        name: str = "arrays",
        kind: Literal["real", "synthetic"] = "real",
        source: str = "arrays",
    ) -> Dataset:
        """The dataset of a user's own arrays: NumPy's, tensors, or what NumPy makes arrays of.

        Inputs become float32. Whole numbers that are not standardised become int64: tokens.

        Args:
            x: inputs (N, ...); for images (N, C, H, W).
            y: labels (N,): whole numbers, strings or whatever has an order, numbered in that order;
                or targets (N, T) of T positions, whole numbers from 0 on, taken as they are.
            x_validation: inputs of a part that is there already, as are the next three. A part that
                is not is drawn from ``x`` and ``y``, stratified by class.
            y_validation: its labels.
            x_test: likewise.
            y_test: likewise.
            validation: fraction of ``x`` to draw for validation.
            test: fraction of ``x`` to draw for test.
            seed: the same seed and labels always give the same parts.
            num_classes: K, if the labels are 0 ... K-1 and not all of them are there.
            standardise: True to give every channel x[:, c] mean 0 and standard deviation 1 over the
                train part. By default for all but tokens: whole numbers (N, T) with targets (N, T).
            name: of the dataset.
            kind: of the samples.
            source: one line that says where they come from.

        Raises:
            ValueError: lengths or shapes that differ, inputs that are not finite numbers, floats as
                labels, fewer than two classes, or a class with too few samples for the parts.
        """
        pairs = {"train": (x, y), "validation": (x_validation, y_validation)}
        pairs["test"] = (x_test, y_test)
        for part, (inputs, targets) in pairs.items():
            if (inputs is None) != (targets is None):
                lacks, has = ("xy", "yx")[targets is None]
                raise ValueError(f"{has}_{part} is given without {lacks}_{part}")
        given = {part: pair for part, pair in pairs.items() if pair[0] is not None}
        inputs = _joined({part: _array(pair[0]) for part, pair in given.items()}, "inputs")
        targets = _joined({part: _array(pair[1]) for part, pair in given.items()}, "labels")
        lengths = {part: len(pair[0]) for part, pair in given.items()}
        for part, (_, own) in given.items():
            if len(own) != lengths[part]:
                raise ValueError(
                    f"{part}: {len(own)} labels for {lengths[part]} samples: there must be as many"
                )
        tokens = _is_whole(inputs) and targets.shape == inputs.shape and targets.ndim == 2
        scaled = standardise if standardise is not None else not tokens
        values = [_inputs(inputs, scaled)]  # of the first split; not kept for others
        labels: Labels | None = None
        if targets.ndim == 1:
            labels = encode_labels(targets, num_classes)
            numbers, count = labels.numbers, labels.num_classes
        else:
            numbers, count = _position_targets(targets, num_classes, inputs if tokens else None)
        division = divide(labels, lengths, validation=validation, test=test, seed=seed)
        goals = torch.from_numpy(numbers)

        def build(split: Split) -> Dataset:
            own = values.pop() if values else _inputs(inputs, scaled)
            chosen = [own[torch.from_numpy(part)] for part in split]
            if scaled:
                chosen = list(_standardise(*chosen))
            train_part, validation_part, test_part = (
                Part(own, goals[torch.from_numpy(part)])
                for own, part in zip(chosen, split, strict=True)
            )
            return cls(
                name=name,
                train=train_part,
                validation=validation_part,
                test=test_part,
                num_classes=count,
                kind=kind,
                source=source,
                split=division.words,
                classes=labels.names if labels else (),
            )

        strata = np.zeros(len(inputs), np.int64) if labels is None else numbers
        return cls.divided(build, division.split, strata, division.drawn)

    @property
    def class_counts(self) -> dict[str, list[int]]:
        """Targets of every class, by its name, in the train, validation and test parts."""
        parts = (self.train, self.validation, self.test)
        counts = [
            torch.bincount(part.targets.flatten(), minlength=self.num_classes) for part in parts
        ]
        names = self.classes or tuple(map(str, range(self.num_classes)))
        return dict(zip(names, torch.stack(counts, dim=1).tolist(), strict=True))

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample, without the batch."""
        return tuple(self.train.inputs.shape[1:])

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Dataset:
        """Every part on ``device``; floating-point inputs become ``dtype``, whole numbers stay."""
        return replace(
            self,
            train=self.train.to(device, dtype),
            validation=self.validation.to(device, dtype),
            test=self.test.to(device, dtype),
        )


def standardise(train: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
    """(x - mean) / std for each channel, with the mean and std of ``train`` alone.

    Every tensor is (N, C, ...), float32 or float64, in which it is then computed; the results are
    float32. A channel that is constant in ``train`` is only centred.
    """
    # In float64, one channel at a time: the statistics then do not depend on the number of
    # threads, and no second copy of the data in double precision is made.
    spreads = [torch.std_mean(channel.double(), correction=0) for channel in train.unbind(1)]
    shape = [1, -1] + [1] * (train.ndim - 2)
    mean = torch.stack([mean for _, mean in spreads]).to(train.dtype).view(shape)
    std = torch.stack([std if std > 0 else torch.ones_like(std) for std, _ in spreads])
    std = std.to(train.dtype).view(shape)
    return tuple((part - mean).div_(std).float() for part in (train, *others))


_standardise = standardise
"""The function, for :meth:`Dataset.from_arrays`, which has a parameter of that name."""


def _array(values: Any) -> Any:
    """NumPy's array of tensors, lists and whatever else; arrays and pandas' as they are."""
    if isinstance(values, Tensor):
        plain = values.detach().cpu()
        return (plain if plain.dtype != torch.bfloat16 else plain.float()).numpy()
    return values if isinstance(values, np.ndarray) else np.asarray(values)


def _joined(arrays: dict[str, Any], what: str) -> Any:
    """The arrays of the given parts behind each other."""
    first = arrays["train"]
    for part, array in arrays.items():
        if array.ndim == 0 or len(array) == 0:
            raise ValueError(f"{part}: there are no {what}")
        if array.shape[1:] != first.shape[1:]:
            raise ValueError(
                f"{what} of the {part} part have shape (N, {_shape(array)}), those of the train "
                f"part (N, {_shape(first)})"
            )
    return np.concatenate(list(arrays.values())) if len(arrays) > 1 else first


def _shape(array: Any) -> str:
    return ", ".join(map(str, array.shape[1:]))


def _is_whole(array: Any) -> bool:
    return array.dtype.kind in "iu"


def _inputs(array: Any, scaled: bool) -> Tensor:
    """Checked inputs of their own memory: float64 where float32 might not do for their mean."""
    if array.ndim < 2:
        raise ValueError(
            f"inputs must be (N, ...), an array for every sample, not of shape {array.shape}"
        )
    if array.dtype.kind not in "fiub":
        raise ValueError(f"inputs must be numbers, not {array.dtype}")
    if _is_whole(array) and not scaled:
        return torch.from_numpy(array.astype(np.int64))
    wide = scaled and array.dtype.itemsize > (4 if array.dtype.kind == "f" else 2)
    with np.errstate(over="ignore"):
        values = torch.from_numpy(array.astype(np.float64 if wide else np.float32))
    fine = values.isfinite().flatten(1).all(dim=1)
    if not fine.all():
        first = int((~fine).nonzero()[0])
        raise ValueError(f"sample {first} has an input that is not a finite number (NaN or inf)")
    return values


def _position_targets(
    targets: Any, num_classes: int | None, tokens: Any
) -> tuple[np.ndarray[Any, np.dtype[np.int64]], int]:
    """Targets (N, T) as int64, and K: one more than the largest of them and of the tokens."""
    if targets.ndim != 2:
        raise ValueError(f"labels must be (N,) or (N, T), not of shape {targets.shape}")
    if not _is_whole(targets):
        raise ValueError(f"targets (N, T) must be whole numbers from 0 on, not {targets.dtype}")
    both = [targets] if tokens is None else [targets, tokens]
    least, largest = min(int(a.min()) for a in both), max(int(a.max()) for a in both)
    count = largest + 1 if num_classes is None else num_classes
    if least < 0 or largest >= count:
        raise ValueError(
            f"targets (N, T) and tokens must be from 0 to {count - 1}, not "
            f"{least if least < 0 else largest}"
        )
    if count < 2:
        raise ValueError("every target is 0: two classes are the least")
    return targets.astype(np.int64), count
