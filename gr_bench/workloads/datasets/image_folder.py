"""Images of a folder, and images as they are stored in tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from gr_bench.workloads.checks import check_positive
from gr_bench.workloads.datasets.base import Dataset
from gr_bench.workloads.datasets.layouts import image_files, one_line

EIGHT_BITS = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")
"""Pillow's modes of images with no more than eight bits a channel."""


def images(
    path: str,
    size: int = 32,
    greyscale: bool = False,
    validation: float = 0.2,
    test: float = 0.2,
    seed: int = 0,
) -> Dataset:
    """Images of a folder, a sub-folder a class: ``images(path='folder', size=32)``.

    Inputs are float32 (N, 3, size, size), or (N, 1, size, size), standardised for each channel with
    the mean and standard deviation of the train part. An image is cut to its central square and
    scaled, turned as its EXIF data say. Where the folder has a sub-folder ``train``, and maybe
    ``validation`` (``val``, ``valid``, ``dev``) and ``test``, these are the parts, each with
    sub-folders for the classes; a part that is not there is drawn from ``train``.

    Args:
        path: of the folder, relative to the current directory.
        size: side of the inputs in pixels.
        greyscale: True for one channel, of luma, in place of red, green and blue.
        validation: fraction of the images to draw for validation, stratified by class.
        test: likewise.
        seed: of the split.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it has no images, one of them cannot be read, or a class has too few.
    """
    check_positive(size=size)
    found = image_files(path)
    arrays: dict[str, Any] = {}
    for part, files in found.items():
        suffix = "" if part == "train" else f"_{part}"
        arrays[f"x{suffix}"] = decode_images(
            ((str(file), file) for _, file in files), len(files), size, greyscale
        )
        arrays[f"y{suffix}"] = np.array([name for name, _ in files])
    return Dataset.from_arrays(
        **arrays,
        validation=validation,
        test=test,
        seed=seed,
        name="images",
        source=f"{path}, {sum(map(len, found.values()))} images",
    )


def decode_images(
    files: Iterable[tuple[str, Path | IO[bytes]]], count: int, size: int, greyscale: bool
) -> NDArray[np.uint8]:
    """So many images, each with a name, as an array (N, C, size, size).

    Raises:
        ValueError: one cannot be read, or has more than eight bits a channel.
    """
    from PIL import Image, ImageOps

    mode, channels = ("L", 1) if greyscale else ("RGB", 3)
    made = np.empty((count, size, size, channels), np.uint8)
    for index, (name, file) in enumerate(files):
        with _named(name), Image.open(file) as image:
            if image.mode not in EIGHT_BITS:
                raise ValueError(f"it has more than eight bits a channel ({image.mode})")
            turned = ImageOps.exif_transpose(image).convert(mode)
            fitted = ImageOps.fit(turned, (size, size), Image.Resampling.BILINEAR)
            made[index] = np.asarray(fitted).reshape(size, size, channels)
    return made.transpose(0, 3, 1, 2)


@contextmanager
def _named(image: str) -> Iterator[None]:
    """Make whatever goes wrong with an image a ValueError with its name."""
    try:
        yield
    except Exception as error:  # Pillow's readers raise errors of many kinds
        raise ValueError(f"{image} cannot be read: {one_line(error)}") from error
