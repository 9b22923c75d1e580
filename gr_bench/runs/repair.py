"""Damaged lines of a run's journal, set aside."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

from gr_bench.errors import RequestError
from gr_bench.experiments.lines import NewerSchema, UnknownExperiment, decode
from gr_bench.files import write_whole
from gr_bench.runs.about import read_about
from gr_bench.runs.store import (
    COMPRESSED_JOURNAL,
    UNREADABLE,
    journal_bytes,
    journal_of,
    locked,
    reason,
)

DAMAGED = "damaged-lines.txt"
"""The file in a run's folder that has what was set aside, line by line, byte for byte."""


@dataclass(frozen=True)
class Repair:
    """The findings of :func:`repair`."""

    journal: Path
    kept: int
    """Lines that are as they were."""

    damaged: dict[int, str]
    """By their numbers, counted from 1, the reasons for which lines could not be read."""


def repair(folder: Path) -> Repair:
    """Set aside the lines of a run's journal that cannot be read, so that the others can be.

    They are appended to ``damaged-lines.txt``. The journal is then replaced as a whole, and only if
    there was a damaged line; running the suite again measures what they had. A last line without
    its end is one of them.

    Raises:
        RequestError: it is not a run's folder, it has no journal or one that cannot be read or
            written to, it is in use, or a line is of a newer gr-bench.
    """
    read_about(folder)
    with locked(folder):
        journal = journal_of(folder)
        if journal is None:
            raise RequestError(f"{folder} has no journal")
        *lines, torn = journal_bytes(journal).split(b"\n")
        damaged = {}
        for number, line in enumerate(lines, start=1):
            try:
                decode(line)
            except UnknownExperiment:
                continue
            except NewerSchema as error:
                raise RequestError(f"{journal}, line {number}: {error}") from error
            except UNREADABLE as error:
                damaged[number] = reason(error)
        if torn:
            damaged[len(lines) + 1] = "its end is missing"
        kept = [line for number, line in enumerate(lines, start=1) if number not in damaged]
        if damaged:
            _set_aside(folder / DAMAGED, [[*lines, torn][number - 1] for number in damaged])
            text = b"".join(line + b"\n" for line in kept)
            if journal.name == COMPRESSED_JOURNAL:
                text = gzip.compress(text, mtime=0)
            write_whole(journal, lambda file: file.write(text))
    return Repair(journal, len(kept), damaged)


def _set_aside(file: Path, lines: list[bytes]) -> None:
    """Append lines to a file, which is then on the disk."""
    before = file.read_bytes() if file.exists() else b""
    text = before + b"".join(line + b"\n" for line in lines)
    write_whole(file, lambda out: out.write(text))
