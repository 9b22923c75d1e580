"""Bytes of the source of Python's own standard library: real text on every machine."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from gr_bench.workloads.checks import check_positive
from gr_bench.workloads.datasets.base import Dataset, Part
from gr_bench.workloads.datasets.library import library_files, library_folder

SHARE = 0.1
"""Of the bytes, for validation, and as much for test."""

PartName = Literal["train", "validation", "test"]


@dataclass(frozen=True, eq=False)
class Source:
    """A file of the library: its path below the folder, with ``/``, and its bytes."""

    path: str
    content: NDArray[np.uint8]


def stdlib(length: int = 64, megabytes: float = 4.0) -> Dataset:
    """Source of Python's own standard library, as bytes, to predict the next one.

    Inputs and targets are int64 (N, length), with targets[:, t] = inputs[:, t + 1]; the 256 classes
    are the bytes. Files are those of the Python that runs this, without tests and generated tables
    (:func:`gr_bench.workloads.datasets.library.library_files`). Up to ``megabytes``, they are taken
    in the order of a hash of their paths, so that every package has its share. Each file belongs to
    one part as a whole, and no sample has bytes of two files. A hash of the paths decides which are
    for validation (10 % of the bytes) and for test (as much); the train and the test part of other
    splits are divided anew, and differ a little in size.

    Args:
        length: bytes of one sample.
        megabytes: at most this many millions of bytes are taken.

    Raises:
        ValueError: a number is out of range, this Python has no source of its library, or a part
            would have no sample.
    """
    return read_library(library_folder(), length, megabytes)


def read_library(
    folder: Path, length: int = 64, megabytes: float = 4.0, split_seed: int = 0
) -> Dataset:
    """The data set of :func:`stdlib`, from the library in a folder, its files divided by a seed."""
    check_positive(length=length)
    if isinstance(megabytes, bool) or not isinstance(megabytes, int | float) or not megabytes > 0:
        raise ValueError(f"megabytes must be a number above 0, not {megabytes!r}")
    sources = _choose(folder, 1e6 * megabytes)
    parts: dict[PartName, list[Source]] = {"train": [], "validation": [], "test": []}
    for source, name in zip(sources, divide(sources, split_seed), strict=True):
        parts[name].append(source)
    size = sum(len(source.content) for source in sources)
    made = {name: _part(own, length) for name, own in parts.items()}
    for name, part in made.items():
        if not len(part):
            raise ValueError(
                f"{size} bytes of {len(sources)} files leave no sample of {length} bytes for the "
                f"{name} part: give more megabytes, or a smaller length"
            )
    counts = "/".join(str(len(own)) for own in parts.values())
    return Dataset(
        name="stdlib",
        train=made["train"],
        validation=made["validation"],
        test=made["test"],
        num_classes=256,
        kind="real",
        source=f"the standard library of Python {platform.python_version()}: {size} bytes, "
        f"{len(sources)} files, without tests and generated tables",
        split=f"80/10/10 % of the bytes train/validation/test, by whole files ({counts}), by a "
        f"hash of their paths, seed {split_seed}",
        unit="byte",
        redraw=lambda seed: read_library(folder, length, megabytes, seed),
    )


def divide(sources: Sequence[Source], seed: int) -> list[PartName]:
    """The part that each file belongs to.

    In the order of a hash of seed and path, the first tenth of all bytes is for test, to the
    nearest file. The validation part is the same by every seed, the next tenth by seed 0: what was
    chosen by it is judged by other files, whatever the split.
    """
    size = SHARE * sum(len(own.content) for own in sources)
    first = _in_order(sources, 0)
    validation = _take(first[len(_take(first, size)) :], size)
    test = _take([own for own in _in_order(sources, seed) if own not in validation], size)
    return [
        "test" if own in test else "validation" if own in validation else "train" for own in sources
    ]


def _in_order(sources: Sequence[Source], seed: int) -> list[Source]:
    return sorted(sources, key=lambda own: _hash(f"{seed} {own.path}"))


def _take(queue: Sequence[Source], size: float) -> list[Source]:
    """The first files of a queue: those whose middle is among the first ``size`` bytes of all."""
    sizes = np.array([len(own.content) for own in queue])
    return list(queue[: int(np.searchsorted(np.cumsum(sizes) - sizes / 2, size))])


def _choose(folder: Path, most: float) -> list[Source]:
    """The files of the library with at most so many bytes: in the order of a hash of their paths,
    each that still has room; then by path.
    """
    room, chosen = most, []
    places = {file.relative_to(folder).as_posix(): file for file in library_files(folder)}
    for path in sorted(places, key=_hash):
        size = places[path].stat().st_size
        if size <= room:
            chosen.append(path)
            room -= size
    return [Source(path, np.fromfile(places[path], np.uint8)) for path in sorted(chosen)]


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _part(sources: Sequence[Source], length: int) -> Part:
    """Samples that follow each other in each file; what is left at its end is left out."""
    inputs = [torch.zeros(0, length, dtype=torch.int64)]
    targets = [inputs[0]]
    for own in sources:
        tokens = torch.from_numpy(own.content).long()
        count = (len(tokens) - 1) // length
        inputs.append(tokens[: count * length].view(count, length))
        targets.append(tokens[1 : count * length + 1].view(count, length))
    return Part(torch.cat(inputs), torch.cat(targets))
