"""Truth values of many samples as short text, for records."""

from __future__ import annotations

import base64
import zlib

import numpy as np
from numpy.typing import NDArray


def encode_bits(values: NDArray[np.bool_]) -> str:
    """Truth values (N,), eight a byte, the first in the highest bit, zlib-compressed, in base64."""
    packed = np.packbits(np.asarray(values, dtype=np.bool_))
    return base64.b64encode(zlib.compress(packed.tobytes(), 9)).decode("ascii")


def decode_bits(text: str, count: int | None = None) -> NDArray[np.bool_]:
    """The truth values of :func:`encode_bits`.

    Args:
        text: of theirs.
        count: N; without it, up to seven False follow that were not there.

    Raises:
        ValueError: the text is damaged, or of another number of values.
    """
    try:
        packed = np.frombuffer(zlib.decompress(base64.b64decode(text, validate=True)), np.uint8)
    except (ValueError, zlib.error) as error:
        raise ValueError(f"no packed bits: {error}") from error
    if count is not None and len(packed) != -(-count // 8):
        raise ValueError(f"{8 * len(packed)} packed bits are not those of {count} values")
    return np.unpackbits(packed, count=count).astype(np.bool_)
