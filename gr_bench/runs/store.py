"""A run's folder: ``run.json``, the append-only journal, and the tables made from it."""

from __future__ import annotations

import fcntl
import gzip
import os
import zlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from gr_bench.errors import RequestError
from gr_bench.experiments.lines import NewerSchema, UnknownExperiment, decode, encode
from gr_bench.experiments.record import Failure, Record
from gr_bench.runs.about import PLUGINS, RUN, earlier_run, own_files, sources, write_about
from gr_bench.runs.about import read_about as read_about

JOURNAL = "journal.jsonl"
COMPRESSED_JOURNAL = "journal.jsonl.gz"
LOCK = ".lock"
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError)
"""Raised by :func:`~gr_bench.experiments.lines.decode` of a line that is no record's."""


class Store:
    """A run folder that is being written to: open it with :func:`open_store`."""

    def __init__(self, folder: Path, about: dict[str, Any], journal: IO[str]) -> None:
        self.folder = folder
        self.about = about
        self.records = read_journal(folder)
        self._journal = journal

    def append(self, record: Record, *, at_once: bool = True) -> None:
        """Write a record to the journal and, if ``at_once``, to the disk before anything else."""
        self._journal.write(encode(record) + "\n")
        if at_once:
            self.flush()
        self.records.append(record)

    def flush(self) -> None:
        """Have what was written on the disk."""
        self._journal.flush()
        os.fsync(self._journal.fileno())

    @property
    def current(self) -> list[Record]:
        """The records without those of plug-ins that have been changed since."""
        return current(self.records, sources(self.about))

    def describe(self, **changes: Any) -> None:
        """Change ``run.json``."""
        self.about |= changes
        write_about(self.folder, self.about)


@contextmanager
def open_store(folder: Path, about: dict[str, Any], *, fresh: bool) -> Iterator[Store]:
    """Open a run's folder for writing, new or to go on with.

    Args:
        folder: made if it is not there.
        about: what goes into ``run.json``; ``about["suite"]`` says which run this is.
        fresh: put what the folder has of an earlier run aside.

    Raises:
        RequestError: the folder is another run's, is in use, or cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(f"cannot write to {folder}: {error.strerror}") from error
    with locked(folder):
        if fresh:
            _put_aside(folder)
        earlier = earlier_run(folder, about["suite"], about.get(PLUGINS, ()))
        _mend(folder / JOURNAL)
        if earlier is None:
            write_about(folder, about)
        with open(folder / JOURNAL, "a", encoding="utf-8") as journal:
            yield Store(folder, earlier or about, journal)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep all others from writing to a run's folder.

    Raises:
        RequestError: it is in use, or cannot be written to.
    """
    try:
        lock = open(folder / LOCK, "a")  # noqa: SIM115
    except OSError as error:
        raise RequestError(f"cannot write to {folder}: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RequestError(
                f"{folder} is in use by another run: wait for it, or choose another --out"
            ) from error
        yield


def read_journal(folder: Path) -> list[Record]:
    """Every record of a run so far, from its journal, compressed or not.

    A last line that was cut off by a kill is passed over, and so are those of experiments from
    other packages that are not installed here.

    Raises:
        RequestError: a line that is not the last cannot be read.
    """
    journal = journal_of(folder)
    if journal is None:
        return []
    text = journal_bytes(journal)
    records = []
    for number, line in enumerate(text.split(b"\n")[:-1], start=1):
        try:
            records.append(decode(line))
        except UnknownExperiment:
            continue
        except UNREADABLE as error:
            where = f"{journal}, line {number}, cannot be read: {reason(error)}"
            if not isinstance(error, NewerSchema):
                where += f"; gr-bench repair {folder} sets it aside"
            raise RequestError(where) from error
    return records


def journal_bytes(journal: Path) -> bytes:
    """The text of a journal, compressed or not.

    Raises:
        RequestError: it cannot be read.
    """
    try:
        text = journal.read_bytes()
        return gzip.decompress(text) if journal.name == COMPRESSED_JOURNAL else text
    except (OSError, EOFError, zlib.error) as error:
        raise RequestError(f"{journal} cannot be read: {error}") from error


def reason(error: BaseException) -> str:
    """One line that says why a journal's line cannot be read."""
    text = " ".join(str(error).split())
    return f"it lacks or does not know {text}" if isinstance(error, KeyError) else text


def journal_of(folder: Path) -> Path | None:
    """A folder's journal, plain or compressed; None if it has none."""
    for name in (JOURNAL, COMPRESSED_JOURNAL):
        if (folder / name).exists():
            return folder / name
    return None


def latest(records: Iterable[Record]) -> list[Record]:
    """Records without the failures after which the same cell was tried again."""
    later: dict[str, set[str]] = defaultdict(set)
    kept = []
    for record in reversed(list(records)):
        if not isinstance(record, Failure) or not _is_superseded(record, later[record.cell.id]):
            kept.append(record)
        later[record.cell.id].add(record.kind)
    return kept[::-1]


def current(records: Iterable[Record], sources: Mapping[tuple[str, str], str]) -> list[Record]:
    """Records without those of plug-ins whose source was another one.

    Args:
        records: a run's.
        sources: as :func:`gr_bench.runs.about.sources` has them. A plug-in that is not among them
            is taken as it is.
    """
    return [
        record
        for record in records
        if all(sources.get(key, own) == own for key, own in record.cell.sources.items())
    ]


def _is_superseded(failed: Failure, later: Collection[str]) -> bool:
    """True of a failure if its cell had a record of one of these kinds afterwards."""
    if failed.lacks is None:
        return bool(later)
    return failed.lacks in later or failed.kind in later


def _mend(journal: Path) -> None:
    """Cut off a last line that a kill left without its end."""
    if not journal.exists():
        return
    with open(journal, "rb+") as file:
        text = file.read()
        if text and not text.endswith(b"\n"):
            file.truncate(text.rfind(b"\n") + 1)


def _put_aside(folder: Path) -> None:
    """Move an earlier run's files into a subfolder ``before-N``."""
    files = own_files(folder)
    if not (folder / RUN).exists() or not files:
        return
    number = 1
    while (folder / f"before-{number}").exists():
        number += 1
    aside = folder / f"before-{number}"
    aside.mkdir()
    for file in files:
        file.rename(aside / file.name)
