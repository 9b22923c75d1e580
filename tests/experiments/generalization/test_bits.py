"""Truth values as text: the same ones come back, and nothing else is taken for them."""

from __future__ import annotations

import base64
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gr_bench.experiments.generalization.bits import decode_bits, encode_bits


@given(st.lists(st.booleans(), max_size=300))
def test_truth_values_come_back(values: list[bool]) -> None:
    text = encode_bits(np.array(values, dtype=np.bool_))
    assert decode_bits(text, len(values)).tolist() == values
    more = decode_bits(text).tolist()
    assert more[: len(values)] == values and not any(more[len(values) :])
    assert text.isascii() and len(decode_bits(text)) % 8 == 0


def test_the_first_value_is_the_highest_bit_of_the_first_byte() -> None:
    """As the documentation says, for readers in other languages."""
    text = encode_bits(np.array([True, False, False, False, False, False, True, True, True]))
    assert zlib.decompress(base64.b64decode(text)) == bytes([0b10000011, 0b10000000])


def test_a_test_part_takes_a_few_hundred_characters_in_a_record() -> None:
    mask = np.random.default_rng(0).random(1797) < 0.2
    assert len(encode_bits(mask)) < 320


@pytest.mark.parametrize(
    "text", ["", "not base64!", "AAAA", encode_bits(np.ones(9, np.bool_))[:-6]]
)
def test_damaged_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no packed bits"):
        decode_bits(text)


def test_another_number_of_values_is_refused() -> None:
    with pytest.raises(ValueError, match="16 packed bits are not those of 17 values"):
        decode_bits(encode_bits(np.ones(9, np.bool_)), 17)
