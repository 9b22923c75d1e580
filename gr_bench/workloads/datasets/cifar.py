"""CIFAR-10 and CIFAR-100, read from their binary distribution."""

from __future__ import annotations

import gzip
import os
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from gr_bench.workloads.datasets.base import Dataset, Part, standardise
from gr_bench.workloads.datasets.split import Split, stratified_split

SPLIT_SEED = 0
DATA_VARIABLE = "GR_BENCH_DATA"
IMAGE_SHAPE = (3, 32, 32)
IMAGE_BYTES = 3 * 32 * 32


@dataclass(frozen=True)
class Distribution:
    """The source of one of the two datasets, and the layout of its files.

    A file is a sequence of records without a header: ``label_bytes`` labels, the last of which is
    the class, then 3,072 bytes of red, green and blue planes, each 32x32 and row by row.
    """

    name: str
    folder: str
    train_files: tuple[str, ...]
    test_file: str
    train_records: int
    """In each of the train files."""

    test_records: int
    label_bytes: int
    num_classes: int
    url: str
    md5: str

    @property
    def archive(self) -> str:
        """Name of the archive in the cache."""
        return f"{self.folder}.tar.gz"


CIFAR10 = Distribution(
    name="cifar10",
    folder="cifar-10-batches-bin",
    train_files=tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
    test_file="test_batch.bin",
    train_records=10_000,
    test_records=10_000,
    label_bytes=1,
    num_classes=10,
    url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    md5="c32a1d4ab5d03f1284b67883e8d87530",
)
CIFAR100 = Distribution(
    name="cifar100",
    folder="cifar-100-binary",
    train_files=("train.bin",),
    test_file="test.bin",
    train_records=50_000,
    test_records=10_000,
    label_bytes=2,
    num_classes=100,
    url="https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
    md5="03b5dce01913d631647c71ecec9e9cb8",
)


def cifar10(root: str | os.PathLike[str] | None = None) -> Dataset:
    """CIFAR-10: 60,000 photographs of 32x32 pixels in ten classes (Krizhevsky 2009).

    Inputs are float32 (N, 3, 32, 32), standardised for each channel with the mean and standard
    deviation of the train part. The published test part (10,000) is kept in every split; a
    stratified tenth of the published train part (5,000 of 50,000) is for validation.

    Args:
        root: folder of the .bin files, or its parent. Without it the environment variable
            ``GR_BENCH_DATA`` names that folder; without both, the archive is downloaded once
            (170 MB) into the user's cache folder and checked against its MD5 sum.

    Raises:
        FileNotFoundError: a file is missing from the folder, or the archive cannot be downloaded.
        ValueError: a file does not have as many records as the published one, or has a label that
            is none; the archive has another checksum.
    """
    return _load(CIFAR10, root)


def cifar100(root: str | os.PathLike[str] | None = None) -> Dataset:
    """CIFAR-100: 60,000 photographs of 32x32 pixels in 100 classes (Krizhevsky 2009).

    Classes are the fine labels. All else is as for :func:`cifar10`.
    """
    return _load(CIFAR100, root)


def _load(distribution: Distribution, root: str | os.PathLike[str] | None) -> Dataset:
    given = root or os.environ.get(DATA_VARIABLE)
    folder = _find(distribution, Path(given)) if given else _fetch(distribution)
    train_files = [folder / file for file in distribution.train_files]
    images, targets = _read(distribution, train_files, distribution.train_records)
    test_images, test_targets = _read(
        distribution, [folder / distribution.test_file], distribution.test_records
    )
    classes = torch.from_numpy(targets)

    def build(split: Split) -> Dataset:
        train, validation, _ = split
        inputs = standardise(
            *(
                torch.from_numpy(part).float()
                for part in (images[train], images[validation], test_images)
            )
        )
        return Dataset(
            name=distribution.name,
            train=Part(inputs[0], classes[train]),
            validation=Part(inputs[1], classes[validation]),
            test=Part(inputs[2], torch.from_numpy(test_targets)),
            num_classes=distribution.num_classes,
            kind="real",
            source="Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images, "
            f"{distribution.url}",
            split="the published test part; of the rest, 90/10 % train/validation, stratified, "
            f"seed {SPLIT_SEED}",
        )

    own = stratified_split(targets, validation=0.1, test=0.0, seed=SPLIT_SEED)
    first = own._replace(test=np.arange(len(targets), len(targets) + len(test_targets)))
    return Dataset.divided(build, first, targets, ("validation",))


def _find(distribution: Distribution, root: Path) -> Path:
    """The folder with all files of the distribution: ``root`` or its usual subfolder."""
    files = (*distribution.train_files, distribution.test_file)
    candidates = [root, root / distribution.folder]
    for folder in candidates:
        if (folder / distribution.test_file).is_file():
            missing = [file for file in files if not (folder / file).is_file()]
            if missing:
                raise FileNotFoundError(
                    f"{distribution.name}: {folder} lacks {', '.join(missing)}; unpack "
                    f"{distribution.url} again"
                )
            return folder
    raise FileNotFoundError(
        f"{distribution.name}: no {distribution.test_file} in {root} or its folder "
        f"{distribution.folder}; unpack {distribution.url} there, or give neither root nor "
        f"{DATA_VARIABLE} to download it"
    )


def _fetch(distribution: Distribution) -> Path:
    """The folder of the unpacked archive in the user's cache, downloaded at the first call."""
    import pooch

    cache = Path(pooch.os_cache("gr-bench"))
    try:
        pooch.retrieve(
            distribution.url,
            known_hash=f"md5:{distribution.md5}",
            fname=distribution.archive,
            path=cache,
        )
    except OSError as error:
        raise FileNotFoundError(
            f"{distribution.name}: {distribution.url} could not be downloaded to "
            f"{cache} ({type(error).__name__}); fetch it elsewhere and give its unpacked folder "
            f"as root or in {DATA_VARIABLE}"
        ) from error
    except ValueError as error:
        raise ValueError(
            f"{distribution.name}: {distribution.url} does not have the MD5 sum "
            f"{distribution.md5}; try again, or give a folder as root or in {DATA_VARIABLE}"
        ) from error
    unpacked = cache / f"{distribution.archive}.untar"
    if not unpacked.is_dir():
        _unpack(distribution, cache / distribution.archive, unpacked)
    return _find(distribution, unpacked)


def _unpack(distribution: Distribution, archive: Path, target: Path) -> None:
    """Make the folder ``target`` of the distribution's files in the archive, whole or not at all.

    Members are never written under names of their own: contents alone are copied, to the names
    that the distribution has.
    """
    wanted = (*distribution.train_files, distribution.test_file)
    records = max(distribution.train_records, distribution.test_records)
    most = records * (distribution.label_bytes + IMAGE_BYTES)
    made = Path(tempfile.mkdtemp(prefix=f"{target.name}.", dir=target.parent))
    try:
        (made / distribution.folder).mkdir()
        with tarfile.open(archive) as members:
            for member in members:
                path = Path(member.name)
                if path.is_absolute() or ".." in path.parts:
                    raise _refused(distribution, archive, f"{member.name!r} leaves its folder")
                if not (member.isreg() or member.isdir()):
                    raise _refused(distribution, archive, f"{member.name!r} is no plain file")
                if member.size > most:
                    raise _refused(
                        distribution,
                        archive,
                        f"{member.name!r} is said to have {member.size} bytes, and no file of "
                        f"it has more than {most}",
                    )
                if member.isreg() and path.parent.name == distribution.folder:
                    content = members.extractfile(member) if path.name in wanted else None
                    if content is not None:
                        with content, (made / distribution.folder / path.name).open("wb") as file:
                            shutil.copyfileobj(content, file)
        lacking = [f for f in wanted if not (made / distribution.folder / f).is_file()]
        if lacking:
            raise _refused(distribution, archive, f"it lacks {', '.join(lacking)}")
        made.rename(target)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _refused(distribution, archive, "it is damaged or no tar.gz") from error
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _refused(distribution: Distribution, archive: Path, reason: str) -> ValueError:
    return ValueError(
        f"{distribution.name}: {archive} is refused, {reason}; delete it and fetch the binary "
        "version again"
    )


def _read(
    distribution: Distribution, files: Sequence[Path], count: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images (N, 3, 32, 32) and classes (N,) of all records, in the order of the files, each of
    which has ``count``.
    """
    size = distribution.label_bytes + IMAGE_BYTES
    images, targets = [], []
    for path in files:
        content = np.fromfile(path, dtype=np.uint8)
        if len(content) != count * size:
            raise ValueError(
                f"{distribution.name}: {path} has {len(content):,} bytes, and the published file "
                f"{count:,} records of {size:,}; delete it and fetch the binary version again"
            )
        records = content.reshape(-1, size)
        classes = records[:, distribution.label_bytes - 1].astype(np.int64)
        if classes.max() >= distribution.num_classes:
            raise ValueError(
                f"{distribution.name}: {path} has a label {classes.max()}; labels must be below "
                f"{distribution.num_classes}, so this is another dataset's file"
            )
        images.append(records[:, distribution.label_bytes :].reshape(-1, *IMAGE_SHAPE))
        targets.append(classes)
    return np.concatenate(images), np.concatenate(targets)
