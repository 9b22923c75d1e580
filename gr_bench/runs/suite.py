"""Suites: TOML files that name experiments and their grids."""

from __future__ import annotations

import copy
import fnmatch
import math
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, create_model

from gr_bench.errors import RequestError, unknown
from gr_bench.experiments import EXPERIMENTS, admit_experiment, get_experiment
from gr_bench.experiments.cell import Cell
from gr_bench.experiments.experiment import Experiment
from gr_bench.experiments.grid import AnyGrid
from gr_bench.plugins.place import Neighbourhood, PlugIn, beside, is_place, renamed
from gr_bench.registry import build_dataset, check_method, check_optimizer
from gr_bench.runs.about import DATA
from gr_bench.runs.shipped import read_suite
from gr_bench.units import parse_duration, parse_size
from gr_bench.workloads.datasets.content import same_content


def _duration(text: str) -> str:
    parse_duration(text)
    return text


def _size(text: str) -> str:
    parse_size(text)
    return text


class _Head(BaseModel):
    """The settings of a suite beside its experiments."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    description: str = ""
    timeout_minutes: float = Field(60.0, gt=0)
    """A unit of work that yields neither a result nor progress for so long is stopped; what it has
    not finished is recorded as failed."""

    memory_limit: Annotated[str, AfterValidator(_size)] | None = None
    """The most resident memory of a worker process, as ``500MiB`` or ``4GiB``: one that has more is
    ended (Linux), and what it was at is recorded as failed."""

    budget: Annotated[str, AfterValidator(_duration)] | None = None
    """Time for a run of the suite, as ``90s``, ``5m`` or ``1h``."""


@dataclass(frozen=True)
class Plan:
    """One grid of one experiment, spread out."""

    experiment: Experiment[Any, Any]
    grid: AnyGrid
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Suite:
    """A suite that has been checked."""

    name: str
    title: str
    description: str
    timeout_s: float
    budget_s: float | None
    plans: tuple[Plan, ...]
    resolved: dict[str, Any]
    """Everything that decides what is measured and how, defaults filled in, as plain data. Plug-ins
    are named where they stand, files by absolute paths."""

    memory_limit: int | None = None
    """Bytes that a worker may have resident."""

    plugins: tuple[PlugIn, ...] = ()
    """The things that it names which are not ours."""

    @property
    def cells(self) -> list[Cell]:
        """Every cell of the suite once, in order."""
        return list({cell.id: cell for plan in self.plans for cell in plan.cells}.values())

    @property
    def devices(self) -> list[str]:
        """The devices that its steps run on, GPUs first."""
        return sorted({cell.device for cell in self.cells}, key=lambda name: (name == "cpu", name))

    def check_methods(self) -> None:
        """Build every method and optimizer once, which imports PyTorch: a value out of range is
        found before anything is measured.

        Raises:
            RequestError: one that cannot be built.
        """
        for spec in dict.fromkeys(cell.spec for cell in self.cells):
            check_method(spec)
        for optimizer in dict.fromkeys(cell.optimizer for cell in self.cells):
            check_optimizer(optimizer)

    def read_data(self) -> dict[str, dict[str, Any]]:
        """Read every dataset from a user's files once, and describe it: what is wrong with one is
        found before anything is measured.

        Returns:
            By dataset: the hash of its files, its source and split in words, and the targets of
            every class in the train, validation and test parts.

        Raises:
            RequestError: a dataset that cannot be read, files that have changed by now, or parts
                that are fixed where a cell asks for another split.
        """
        splits = {
            cell.dataset: seed
            for cell in self.cells
            if (seed := getattr(cell, "split_seed", 0)) and (cell.data or cell.dataset_source)
        }
        for text, seed in splits.items():
            build_dataset(text).redrawn(seed)
        described = {}
        for text, known in _data(self.cells).items():
            data = build_dataset(text)
            same_content(text, known)
            described[text] = {
                "content": known,
                "source": data.source,
                "split": data.split,
                "samples": [len(data.train), len(data.validation), len(data.test)],
                "classes": data.class_counts,
            }
        return described


def load_suite(
    name: str,
    *,
    settings: Iterable[str] = (),
    only: str | None = None,
    device: str | None = None,
    no_plugins: bool = False,
) -> Suite:
    """Read, check and spread out a suite.

    Args:
        name: of a shipped suite, or the path of a TOML file.
        settings: changes of the form ``experiment.key=value`` (for every grid of the experiment) or
            ``key=value``, the value in TOML.
        only: keep the cells whose printed form, or a part of it, this pattern matches.
        device: run every grid there.
        no_plugins: refuse a suite that names code outside of what is installed.

    Raises:
        RequestError: whatever is wrong with any of these, in one line.
    """
    source, data = read_suite(name)
    file = Path(name)
    folder = file.parent.resolve() if file.suffix == ".toml" else None
    return build_suite(
        source,
        data,
        settings=settings,
        only=only,
        device=device,
        folder=folder,
        no_plugins=no_plugins,
    )


def build_suite(
    name: str,
    data: dict[str, Any],
    *,
    settings: Iterable[str] = (),
    only: str | None = None,
    device: str | None = None,
    folder: Path | None = None,
    no_plugins: bool = False,
) -> Suite:
    """As :func:`load_suite`, from data already read; plug-ins are looked for in ``folder``, too."""
    with beside(folder, closed=no_plugins) as near:
        data = _with_names(name, data)
        names = list(dict.fromkeys([*EXPERIMENTS, *_plug_ins(data)]))
        data = copy.deepcopy(data)
        return _build(name, data, names, near, settings=settings, only=only, device=device)


def _build(
    name: str,
    data: dict[str, Any],
    names: Sequence[str],
    near: Neighbourhood,
    *,
    settings: Iterable[str],
    only: str | None,
    device: str | None,
) -> Suite:
    """The suite, the experiments in it under their ``names``."""
    for setting in settings:
        _apply(data, setting, names)
    if device is not None:
        for key in names:
            for grid in _grids(data, key):
                grid["device"] = device
    for key in names:
        if isinstance(data.get(key), dict):
            raise RequestError(
                f"suite {name!r}: write [[{key}]] instead of [{key}], since there may be several"
            )
    # what the suite does not name is not imported
    experiments = {key: get_experiment(key) for key in names if key in data}
    fields: Any = {key: (_list_of(e.grid), []) for key, e in experiments.items()}
    model = create_model("Suite", __base__=_Head, **fields)
    try:
        suite = model.model_validate(data)
    except ValidationError as error:
        raise RequestError(f"suite {name!r}: {_first_error(error, model)}") from error

    plans = []
    for key, experiment in experiments.items():
        for grid in getattr(suite, key):
            _check_size(name, key, grid)
            cells = tuple(cell for cell in _cells(experiment, grid) if _matches(cell, only))
            plans.append(Plan(experiment, grid, cells))
    if not any(plan.cells for plan in plans):
        if only is not None:
            raise RequestError(f"suite {name!r} has no cell that matches {only!r}")
        raise RequestError(f"suite {name!r} names no experiment: add one of {', '.join(names)}")
    plugins = tuple(near.found.values())
    places = {(own.kind, own.name): own.where for own in plugins}
    grids = suite.model_dump(mode="json", exclude=set(_Head.model_fields))
    data_read = _data(cell for plan in plans for cell in plan.cells)
    head = _Head.model_validate({k: getattr(suite, k) for k in _Head.model_fields})
    return Suite(
        name=name,
        title=head.title,
        description=head.description,
        timeout_s=60 * head.timeout_minutes,
        memory_limit=None if head.memory_limit is None else parse_size(head.memory_limit),
        budget_s=None if head.budget is None else parse_duration(head.budget),
        plans=tuple(plan for plan in plans if plan.cells),
        resolved={
            **renamed({"only": only, **grids}, places),
            **({DATA: data_read} if data_read else {}),
        },
        plugins=plugins,
    )


def _with_names(name: str, data: dict[str, Any]) -> dict[str, Any]:
    """A suite's data whose experiments go by their names, and not by where they stand.

    Raises:
        RequestError: one cannot be had, or goes by a name that another one has.
    """
    found: dict[str, Any] = {}
    for key, value in data.items():
        own = key
        if is_place(key) or (key in EXPERIMENTS and EXPERIMENTS.own(key) is None):
            own = admit_experiment(key)
        if own in found:
            raise RequestError(f"suite {name!r} names the experiment {own!r} twice")
        found[own] = value
    return found


def _plug_ins(data: Mapping[str, Any]) -> list[str]:
    return [key for key in data if key in EXPERIMENTS.admitted]


def _cells(experiment: Experiment[Any, Any], grid: AnyGrid) -> Iterator[Cell]:
    """A grid's cells; those of an experiment that is not ours with a hash of its source."""
    source = EXPERIMENTS.source(experiment.name)
    for cell in experiment.cells(grid):
        yield replace(cell, experiment_source=source) if source else cell


MOST_CELLS = 200_000
"""Points of one grid: of more, not even a list could be had in a useful time."""


def _check_size(suite: str, key: str, grid: AnyGrid) -> None:
    """Refuse a grid with too many points before they are spread out.

    Raises:
        RequestError: with the lengths of its longest lists.
    """
    lengths = {
        name: len(value)
        for name, value in dict(grid).items()
        if isinstance(value, list) and len(value) > 1 and name != "selection_seeds"
    }
    count = math.prod(lengths.values())
    if count > MOST_CELLS:
        longest = sorted(lengths, key=lambda name: -lengths[name])
        shown = " x ".join(f"{lengths[name]} {name}" for name in longest)
        raise RequestError(
            f"suite {suite!r}: {key} has {count:,} points ({shown}), but at most {MOST_CELLS:,} "
            "are allowed: remove some, or split the suite"
        )


def _data(cells: Iterable[Cell]) -> dict[str, str]:
    """The datasets of cells that are read from a user's files, with the hashes of these."""
    return {cell.dataset: cell.data for cell in cells if cell.data}


def _list_of(grid: type[AnyGrid]) -> Any:
    return list[grid]  # type: ignore[valid-type]


def _grids(data: dict[str, Any], experiment: str) -> list[dict[str, Any]]:
    grids = data.get(experiment, [])
    grids = [grids] if isinstance(grids, dict) else grids
    return [grid for grid in grids if isinstance(grid, dict)] if isinstance(grids, list) else []


def _matches(cell: Cell, only: str | None) -> bool:
    return only is None or fnmatch.fnmatch(str(cell), f"*{only}*")


def _apply(data: dict[str, Any], setting: str, experiments: Sequence[str]) -> None:
    key, equals, text = setting.partition("=")
    if not equals or not key:
        raise RequestError(f"cannot read --set {setting!r}: write key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    head, _, rest = key.partition(".")
    if not rest:
        if key not in _Head.model_fields:
            raise unknown("setting", key, [*_Head.model_fields, *(f"{e}.…" for e in experiments)])
        data[key] = value
        return
    if head not in experiments:
        raise unknown("experiment", head, experiments)
    grids = _grids(data, head)
    if not grids:
        raise RequestError(f"--set {setting!r}: this suite has no {head}")
    for grid in grids:
        grid[rest] = value


def _first_error(error: ValidationError, model: type[BaseModel]) -> str:
    """The first thing that is wrong, in one line, with the nearest right name for a wrong key."""
    # a misspelt key comes before the right one's absence
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    where = [str(part) for part in first["loc"]]
    if first["type"] == "extra_forbidden":
        owner: Any = model
        for part in where[:-1]:
            if not part.isdigit():
                owner = owner.model_fields[part].annotation.__args__[0]
        # experiments that the suite does not name are no fields of its model
        keys = dict.fromkeys([*owner.model_fields, *(EXPERIMENTS if owner is model else ())])
        near = get_close_matches(where[-1], keys, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(keys)}"
        return f"unknown key {'.'.join(where)!r}: {hint}"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "too_short":
        message = "is empty: give at least one value"
    elif not isinstance(first["input"], dict | list) and first["type"] != "value_error":
        message = f"{message}, not {first['input']!r}"
    return f"{'.'.join(where)}: {message}"
