"""Characters of a text file."""

from __future__ import annotations

import numpy as np
import torch

from gr_bench.workloads.checks import check_positive
from gr_bench.workloads.datasets.base import Dataset, Part
from gr_bench.workloads.datasets.layouts import find_file


def text(path: str, length: int = 64, validation: float = 0.1, test: float = 0.1) -> Dataset:
    """Characters of a text file, to predict the next one: ``text(path='x.txt', length=64)``.

    Inputs and targets are int64 (N, length), with targets[:, t] = inputs[:, t + 1]. The text is cut
    in three, train, validation and test in this order, and each of them into samples that follow
    each other: no part has a character of another's. Classes are the characters of the whole text
    in the order of Unicode.

    Args:
        path: of a file in UTF-8, relative to the current directory.
        length: characters of one sample.
        validation: fraction of the text.
        test: likewise.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not in UTF-8, or too short for one sample in each part.
    """
    check_positive(length=length)
    for name, value in (("validation", validation), ("test", test)):
        if not 0 < value < 1:
            raise ValueError(f"{name} must be a fraction between 0 and 1, not {value!r}")
    if validation + test >= 1:
        raise ValueError(f"validation and test must be below 1 together, not {validation + test:g}")
    try:
        content = find_file(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8: byte {error.start} is wrong") from error
    points = np.frombuffer(content.encode("utf-32-le"), np.uint32)
    found = np.flatnonzero(np.bincount(points))
    if len(found) < 2:
        raise ValueError(f"{path} has one character, again and again: two are the least")
    numbers = np.zeros(int(found[-1]) + 1, np.int64)
    numbers[found] = np.arange(len(found))
    tokens = torch.from_numpy(numbers[points])
    ends = [round(validation * len(tokens)), round(test * len(tokens))]
    sizes = [len(tokens) - sum(ends), *ends]
    if min(sizes) <= length:
        raise ValueError(
            f"{path} has {len(tokens)} characters, and its parts {'/'.join(map(str, sizes))}: each "
            f"needs {length + 1} for one sample"
        )
    train, validation_part, test_part = (_part(part, length) for part in tokens.split(sizes))
    percent = "/".join(f"{100 * share:.4g}" for share in (1 - validation - test, validation, test))
    return Dataset(
        name="text",
        train=train,
        validation=validation_part,
        test=test_part,
        num_classes=len(found),
        kind="real",
        source=f"{path}, {len(tokens)} characters",
        split=f"{percent} % train/validation/test, one after the other in the text",
        classes=tuple(repr(chr(point)) for point in found),
    )


def _part(tokens: torch.Tensor, length: int) -> Part:
    """Samples that follow each other; what is left at the end is left out."""
    count = (len(tokens) - 1) // length
    inputs, targets = tokens[: count * length], tokens[1 : count * length + 1]
    return Part(inputs.view(count, length).clone(), targets.view(count, length).clone())
