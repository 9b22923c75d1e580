"""The record of a trace as JSON, and as version 0.1 wrote it."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
from pydantic import TypeAdapter, ValidationError
from synthetic import flood, traced

from gr_bench.experiments.flooding.record import Trace

ADAPTER = TypeAdapter(Trace)


def decoded(record: Trace) -> Trace:
    """A record after its way through JSON."""
    fields = json.loads(json.dumps(dataclasses.asdict(record)))
    return ADAPTER.validate_python({**fields, "cell": record.cell})


def test_a_record_is_equal_to_itself_after_json() -> None:
    pairs = [(0, "descent, ascent", 1e-12), (1, "ascent, descent", math.inf)]
    record = traced(flood(), [3.0, 0.1 + 0.2, 1.1], pairs, level=1.0)
    assert decoded(record) == record


def test_a_difference_of_no_length_survives_json() -> None:
    record = traced(flood(), [3.0, 0.9], [(0, "descent, ascent", math.nan)], level=1.0)
    assert math.isnan(decoded(record).pairs[0].difference)


def test_a_record_of_version_0_1_has_the_same_fields() -> None:
    data = {
        "level": 0.5,
        "losses": [3.0, 0.4],
        "pairs": [{"step": 0, "order": "descent, ascent", "difference": 1e-12}],
        "diverged": True,
        "conditions": {"threads": 1},
    }
    record = ADAPTER.validate_python({"cell": flood(), **Trace.from_0_1(data)})
    pairs = [(0, "descent, ascent", 1e-12)]
    assert record == traced(flood(), [3.0, 0.4], pairs, level=0.5, diverged=True)


def test_an_order_that_does_not_exist_is_refused() -> None:
    fields = {"level": 0.5, "losses": [], "diverged": False}
    pair = {"step": 0, "order": "ascent, ascent", "difference": 0.0}
    with pytest.raises(ValidationError, match="order"):
        ADAPTER.validate_python({"cell": flood(), **fields, "pairs": [pair]})
