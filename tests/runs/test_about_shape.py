"""A run.json that lacks anything that is read, or has another sort of value, is refused."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from outcomes import block
from processes import Warm
from synthetic import run_of

from gr_bench.errors import RequestError
from gr_bench.runs.about import RUN, read_about

NEEDED = (
    *(("name",), ("title",), ("description",), ("suite",), ("cells",), ("command",)),
    *(("started",), ("status",), ("environment",)),
    *(("environment", key) for key in ("machine", "device", "python", "packages", "gr_bench")),
    ("environment", "load_average"),
    ("environment", "device", "kind"),
    *(("environment", "machine", key) for key in ("host", "cores", "memory_bytes", "system")),
)


@pytest.fixture
def about(tmp_path: Path) -> dict[str, Any]:
    run = run_of(tmp_path / "run", *block(ratios={"sgd": 1.0, "sam": 2.0}))
    found: dict[str, Any] = json.loads((run / RUN).read_text())
    return found


def changed(about: dict[str, Any], path: tuple[str, ...], value: object) -> str:
    """``run.json`` with one entry that is otherwise, or, if it is ``...``, is not there."""
    made = copy.deepcopy(about)
    inside = made
    for key in path[:-1]:
        inside = inside[key]
    if value is ...:
        inside.pop(path[-1], None)
    else:
        inside[path[-1]] = value
    return json.dumps(made)


@pytest.mark.parametrize("value", [..., True, [True]], ids=["missing", "a truth", "a list"])
@pytest.mark.parametrize("path", NEEDED, ids=".".join)
def test_what_is_read_must_be_there_and_of_its_kind(
    tmp_path: Path, about: dict[str, Any], path: tuple[str, ...], value: object
) -> None:
    (tmp_path / "run" / RUN).write_text(changed(about, path, value))
    with pytest.raises(RequestError, match="is not a run's description") as refused:
        read_about(tmp_path / "run")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        (("tables",), {"schema": 2}, "tables.journal_bytes"),
        (("plugins",), [{"kind": "methods"}], "plugins.0.name"),
        (
            ("plugins",),
            [{"kind": "", "name": "", "where": "", "source": "", "zz": ""}],
            "plugins.0.zz",
        ),
        (("nodes",), {"a": 5}, "nodes.a"),
        (("merged",), [5], "merged.0"),
        (("environment", "git"), "abc", "environment.git"),
    ],
)
def test_the_place_of_the_fault_is_named(
    tmp_path: Path, about: dict[str, Any], path: tuple[str, ...], value: object, place: str
) -> None:
    (tmp_path / "run" / RUN).write_text(changed(about, path, value))
    with pytest.raises(RequestError, match=f": {place}: "):
        read_about(tmp_path / "run")


def test_more_keys_than_are_known_are_no_fault(tmp_path: Path, about: dict[str, Any]) -> None:
    (tmp_path / "run" / RUN).write_text(json.dumps(about | {"mine": [1]}))
    assert read_about(tmp_path / "run")["mine"] == [1]


@pytest.mark.parametrize("command_", ["watch", "report", "site"])
def test_every_command_says_so_in_a_line(
    tmp_path: Path, about: dict[str, Any], command: Warm, command_: str
) -> None:
    for text in (changed(about, ("status",), ...), "[" * 100_000):
        (tmp_path / "run" / RUN).write_text(text)
        ended = command(command_, "run", cwd=tmp_path)
        assert ended.code == 2
        assert len(ended.err.splitlines()) == 1
        assert ended.err.startswith("gr-bench: run/run.json")
