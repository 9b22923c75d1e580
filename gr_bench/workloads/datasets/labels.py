"""Labels of any kind made into class numbers, and samples divided among the parts by them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gr_bench.workloads.datasets.split import Indices, Split, stratified_split

REGRESSION = (
    "labels must be whole numbers or names, not {kind}: regression is not supported; "
    "class numbers that are stored as {kind} need a conversion to whole numbers"
)


class Labels(NamedTuple):
    """Class numbers (N,), int64 in [0, K), and the names of the K classes in their order.

    No names where the labels were 0 ... K-1 before.
    """

    numbers: Indices
    num_classes: int
    names: tuple[str, ...] = ()

    def name(self, number: int) -> str:
        """A class as the user wrote it."""
        return self.names[number] if self.names else str(number)


class Division(NamedTuple):
    """A split, the parts of it that were drawn, and one line on how it was made."""

    split: Split
    drawn: tuple[str, ...]
    words: str


def encode_labels(labels: Any, num_classes: int | None = None) -> Labels:
    """Numbers for labels: classes are numbered in sorted order.

    Args:
        labels: (N,) whole numbers, truth values, strings or other values that have an order.
        num_classes: K, where the labels are 0 ... K-1 already and some class may be absent.

    Raises:
        ValueError: floats, missing labels, values without a common order, a label outside
            [0, num_classes), or fewer than two classes.
    """
    values = labels if hasattr(labels, "dtype") else np.asarray(labels)
    kind = getattr(values.dtype, "kind", "O")
    if kind == "f":
        refuse_missing(np.isnan(np.asarray(values)))
        raise ValueError(REGRESSION.format(kind=values.dtype))
    found: Sequence[Any] | NDArray[Any]
    if kind in "iu":
        found, numbers = np.unique(np.asarray(values), return_inverse=True)
    else:
        found, numbers = _number(values)
    if num_classes is not None:
        if kind not in "iu" or found[0] < 0 or found[-1] >= num_classes:
            wrong = found[-1] if kind not in "iu" or found[0] >= 0 else found[0]
            raise ValueError(
                f"with num_classes={num_classes} labels must be whole numbers from 0 to "
                f"{num_classes - 1}, not {wrong!s}"
            )
        return Labels(np.asarray(values).astype(np.int64), num_classes)
    if len(found) < 2:
        raise ValueError(f"every sample is of class {found[0]!s}: two classes are the least")
    plain = kind in "iu" and np.array_equal(found, np.arange(len(found)))
    names = () if plain else tuple(map(str, found))
    return Labels(numbers.astype(np.int64), len(found), names)


def refuse_missing(missing: NDArray[np.bool_]) -> None:
    """Raise ValueError for the first True, at the number of its sample, counted from 0."""
    if missing.any():
        raise ValueError(f"the label of sample {int(missing.argmax())} is missing")


def _number(values: Any) -> tuple[Sequence[Any], Indices]:
    """The different values in order, and the place of each value among them."""
    import pandas as pd  # the fastest there is for names

    numbers, found = pd.factorize(values)
    refuse_missing(numbers < 0)
    floats = [value for value in found if isinstance(value, float | np.floating)]
    if floats:
        raise ValueError(REGRESSION.format(kind=f"floats ({floats[0]})"))
    try:
        order = sorted(range(len(found)), key=found.__getitem__)
    except TypeError:
        kinds = ", ".join(sorted({type(value).__name__ for value in found}))
        raise ValueError(f"labels of several types have no order: {kinds}") from None
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return [found[index] for index in order], place[numbers]


def divide(
    labels: Labels | None,
    lengths: Mapping[str, int],
    *,
    validation: float = 0.2,
    test: float = 0.2,
    seed: int = 0,
) -> Division:
    """Samples divided into train, validation and test parts.

    Args:
        labels: of all samples, given part after given part; None for a split without classes.
        lengths: samples of each part that is given, in order, ``train`` first. Of ``validation``
            and ``test``, what is not given is drawn from ``train``.
        validation: fraction of the samples of ``train``; of no meaning if that part is given.
        test: likewise.
        seed: of what is drawn.

    Raises:
        ValueError: a fraction that leaves a part empty, or a class without a sample in some part.
    """
    bounds = np.cumsum([0, *lengths.values()])
    given = {
        part: np.arange(low, high)
        for part, low, high in zip(lengths, bounds, bounds[1:], strict=False)
    }
    share = {"validation": validation, "test": test}
    drawn = {part: value for part, value in share.items() if part not in given}
    for part, value in drawn.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
            raise ValueError(f"{part} must be a fraction between 0 and 1, not {value!r}")
    numbers = np.zeros(bounds[-1], np.int64) if labels is None else labels.numbers
    if labels is not None:
        _refuse_rare(labels, given, 1 + len(drawn))
    own = numbers[given["train"]]
    for part, value in drawn.items():
        if round(value * len(own)) == 0:
            raise ValueError(f"{len(own)} samples leave none for the {part} part at {value:g}")
    train, validation_part, test_part = (
        stratified_split(own, drawn.get("validation", 0.0), drawn.get("test", 0.0), seed)
        if drawn
        else Split(*(given["train"],) * 3)
    )
    found = {"validation": validation_part, "test": test_part, **given, "train": train}
    words = _in_words(given, drawn, labels is not None, seed)
    return Division(Split(train, found["validation"], found["test"]), tuple(drawn), words)


def _refuse_rare(labels: Labels, given: Mapping[str, Indices], least: int) -> None:
    """Raise ValueError for a class that cannot be in every part that is drawn, or in ``train``."""
    counts = np.bincount(labels.numbers[given["train"]], minlength=labels.num_classes)
    there = np.unique(labels.numbers)
    rare = there[counts[there] < least]
    if len(rare):
        name, count = labels.name(rare[0]), int(counts[rare[0]])
        samples = "1 sample" if count == 1 else f"{count or 'no'} samples"
        where = " of the train part" if len(given) > 1 else ""
        raise ValueError(
            f"class {name} has {samples}{where}, and needs {least}: one for every part "
            "that is made of them"
        )


def _in_words(
    given: Mapping[str, Indices], drawn: Mapping[str, float], stratified: bool, seed: int
) -> str:
    if not drawn:
        return "the parts as given"
    shares = [1 - sum(drawn.values()), *drawn.values()]
    percent = "/".join(f"{100 * share:.4g}" for share in shares)
    how = "stratified" if stratified else "at random"
    words = f"{percent} % {'/'.join(('train', *drawn))}, {how}, seed {seed}"
    parts = [part for part in given if part != "train"]
    return f"the given {parts[0]} part; of the rest, {words}" if parts else words
