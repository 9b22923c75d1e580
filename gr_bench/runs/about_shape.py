"""The shape of ``run.json``, by which a file that is no run's, or is damaged, is refused."""

from __future__ import annotations

from functools import cache
from typing import Any, NotRequired

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

OTHER_KEYS = with_config(ConfigDict(extra="allow", strict=True))


@OTHER_KEYS
class Device(TypedDict):
    """The device of the steps."""

    kind: str
    name: NotRequired[str | None]


@OTHER_KEYS
class Machine(TypedDict):
    """The hardware; older runs lack the processor's description."""

    system: str
    architecture: str
    host: str
    cores: int | None
    hardware_threads: int | None
    memory_bytes: int
    processor: NotRequired[dict[str, Any] | None]


@OTHER_KEYS
class Commit(TypedDict):
    """Of gr-bench's own checkout."""

    commit: str
    dirty: bool


@OTHER_KEYS
class Environment(TypedDict):
    """A machine with its software."""

    machine: Machine
    device: Device
    python: str
    packages: dict[str, str | None]
    gr_bench: str
    load_average: list[float]
    git: NotRequired[Commit | None]
    clock: NotRequired[dict[str, Any] | None]


@with_config(ConfigDict(extra="forbid", strict=True))
class Plugin(TypedDict):
    """See :class:`gr_bench.plugins.place.PlugIn`."""

    kind: str
    name: str
    where: str
    source: str
    folder: NotRequired[str]


@OTHER_KEYS
class Tables(TypedDict):
    """The origin of the parquet files."""

    schema: int
    journal_bytes: int | None
    names: list[str]
    experiments: list[str]


@OTHER_KEYS
class Merged(TypedDict):
    """A run that a merge was made from."""

    origin: str
    environment: Environment
    only: str | None
    started: str
    cells: int
    status: str


@OTHER_KEYS
class About(TypedDict):
    """All of it."""

    name: str
    title: str
    description: str
    suite: dict[str, Any]
    cells: int
    environment: Environment
    command: list[str]
    started: str
    status: str
    environment_at_end: NotRequired[dict[str, Any] | None]
    plugins: NotRequired[list[Plugin]]
    merged: NotRequired[list[Merged]]
    nodes: NotRequired[dict[str, Environment]]
    tables: NotRequired[Tables]


@cache
def _adapter() -> TypeAdapter[About]:
    return TypeAdapter(About)


def fault_of(about: object) -> str | None:
    """The first thing that is not as it must be, in a line; None if there is none."""
    try:
        _adapter().validate_python(about)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        return f"{place}: {first['msg']}" if place else first["msg"]
    return None
