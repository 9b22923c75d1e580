"""The JSON of a comparison is what its schema says, and the schema says all of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from compared import LARGER, compared, finding
from jsonschema import Draft202012Validator

from gr_bench.comparison.findings import Comparison

SCHEMA = json.loads((Path(__file__).parents[2] / "docs/comparison.schema.json").read_text())
COMPARISONS = [
    compared(),
    compared(finding(), finding(verdict="undecided"), smallest_seen=0.03, more_time_s=70.0),
    compared(finding(verdict=None, pairs=None, changes=(LARGER,)), notes=("a", "b")),
]


def plain(comparison: Comparison) -> dict[str, Any]:
    """As a reader of the file gets it."""
    return dict(json.loads(json.dumps(comparison.plain())))


def undocumented(value: Any, schema: dict[str, Any], where: str = "") -> Iterator[str]:
    """Keys of a value that its schema does not name."""
    if "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    if isinstance(value, list):
        for item in value:
            yield from undocumented(item, schema.get("items", {}), f"{where}[]")
    elif isinstance(value, dict) and "properties" in schema:
        for key, inner in value.items():
            if key not in schema["properties"]:
                yield f"{where}.{key}"
            yield from undocumented(inner, schema["properties"].get(key, {}), f"{where}.{key}")


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("comparison", COMPARISONS)
def test_a_comparison_is_what_the_schema_says(comparison: Comparison) -> None:
    Draft202012Validator(SCHEMA).validate(plain(comparison))
    assert list(undocumented(plain(comparison), SCHEMA)) == []


@pytest.mark.parametrize("key", SCHEMA["else"]["required"])
def test_only_an_interrupted_comparison_lacks_a_verdict(key: str) -> None:
    whole = plain(COMPARISONS[1])
    without = {name: value for name, value in whole.items() if name != key}
    assert not Draft202012Validator(SCHEMA).is_valid(without)
    assert Draft202012Validator(SCHEMA).is_valid({"status": "interrupted", **without})
    assert whole.keys() == {*SCHEMA["else"]["required"]}


def test_a_word_that_is_no_verdict_is_refused() -> None:
    whole = plain(COMPARISONS[1])
    whole["findings"][0]["verdict"] = "slow"
    assert not Draft202012Validator(SCHEMA).is_valid(whole)
