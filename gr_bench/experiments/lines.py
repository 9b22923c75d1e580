"""Records as lines of a journal: JSON that says which class it is of, and of which schema.

A line is ``{"crc32": "89abcdef", "schema": 3, "experiment": ..., "id": ..., "kind": ..., "cell":
{...}, "data": {...}}``. The checksum is that of the line's UTF-8 bytes without the checksum itself:
of ``{"schema": ...}``. Lines of schemas 1 and 2 have none.
"""

from __future__ import annotations

import dataclasses
import json
import re
import zlib
from functools import cache
from typing import Any

from gr_bench.errors import RequestError
from gr_bench.experiments import get_experiment
from gr_bench.experiments.cell import Cell
from gr_bench.experiments.experiment import Experiment
from gr_bench.experiments.record import Failure, Record

SCHEMA = 3
"""The schema of the lines that are written. 1 is gr-bench 0.1's; 3 brought checksums."""

CHECKSUM = re.compile(rb'\{"crc32": "([0-9a-f]{8})", ')
"""The beginning of a line that has one."""

SCHEMA_WITH_CHECKSUMS = 3
"""The first one whose lines have checksums."""

KINDS_OF_SCHEMA_1 = {"step time": "times"}
"""Kinds of record that had another name."""


class UnknownExperiment(ValueError):
    """A line of an experiment that cannot be had here."""


class NewerSchema(ValueError):
    """A line that a newer gr-bench has written."""


def encode(record: Record) -> str:
    """A record as one line of JSON."""
    data = dataclasses.asdict(record)
    del data["cell"]
    plain = {
        "schema": SCHEMA,
        "experiment": record.cell.experiment,
        "id": record.cell.id,
        "kind": record.kind,
        "cell": record.cell.identity,
        "data": data,
    }
    return with_checksum(json.dumps(plain))


def with_checksum(text: str) -> str:
    """A JSON object's text with its checksum as the first entry."""
    return f'{{"crc32": "{zlib.crc32(text.encode()):08x}", {text[1:]}'


def decode(line: str | bytes) -> Record:
    """The record that :func:`encode` made a line of; lines of schema 1 are brought up to date.

    Raises:
        NewerSchema: the line is of a later schema.
        UnknownExperiment: it is an experiment's that is not here.
        ValueError: it is not a record's, its checksum is wrong, or a field is missing or of another
            type.
        KeyError: it lacks what every line has, or an experiment or kind is not known.
    """
    raw = line.encode() if isinstance(line, str) else line
    found = CHECKSUM.match(raw)
    text = b"{" + raw[found.end() :] if found else raw
    is_damaged = found is not None and int(found[1], 16) != zlib.crc32(text)
    plain = None if is_damaged else json.loads(text)
    if not isinstance(plain, dict):
        raise ValueError("its checksum is wrong" if is_damaged else "it is no JSON object")
    schema = plain.get("schema", 1)
    if schema > SCHEMA:
        raise NewerSchema(f"schema {schema} is newer than the schema {SCHEMA} of this gr-bench")
    if schema >= SCHEMA_WITH_CHECKSUMS and not found:
        raise ValueError("it has no checksum")
    try:
        experiment = get_experiment(plain["experiment"])
    except RequestError as error:
        raise UnknownExperiment(str(error)) from error
    kind, fields, data = plain["kind"], plain["cell"], plain["data"]
    if schema == 1:
        kind = KINDS_OF_SCHEMA_1.get(kind, kind)
        fields = experiment.cell.from_0_1(fields)
    cls = _classes(experiment)[kind]
    if schema == 1:
        data = {"conditions": data.get("conditions"), **cls.from_0_1(data)}
    return decode_record(cls, experiment.cell(**fields), data)


def decode_record(cls: type[Record], cell: Cell, data: dict[str, Any]) -> Record:
    """A record of a class from its cell and the plain data of its other fields.

    Raises:
        ValueError: a field is missing or of another type.
    """
    adapter: Any = _adapter(cls)  # type: ignore[arg-type]  # a class is hashable
    record: Record = adapter.validate_python({**data, "cell": cell})
    return record


@cache
def _classes(experiment: Experiment[Any, Any]) -> dict[str, type[Record]]:
    classes: list[type[Record]] = [Failure, *experiment.records]
    return {cls.kind: cls for cls in classes}


@cache
def _adapter(cls: type[Record]) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(cls)
