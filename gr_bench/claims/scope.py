"""Settings that comparisons were made in, and the settings that sources speak of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from gr_bench import registry
from gr_bench.spec import parse

DEVICES = {"cpu": "a CPU", "cuda": "a GPU", "mps": "an Apple GPU"}
"""Kinds of device in words."""

FEW = 3
"""Things that are named one by one; of more, the number is given."""


@dataclass(frozen=True)
class Setting:
    """The setting that a case was measured in; its fields are taken from the records."""

    model: str
    dataset: str
    device: str
    """Its kind: ``cpu``, ``cuda``."""

    batch_size: int
    note: str = ""
    """A further condition that a scope may ask for."""

    def __str__(self) -> str:
        return f"{self.model}, {self.dataset}, batch {self.batch_size}"


def setting_of(found: Any, note: str = "", **other: Any) -> Setting:
    """The setting of a cell, or of a row of a table that begins with the cell's columns.

    Args:
        found: has ``model``, ``dataset``, ``device`` and ``batch_size``.
        note: of the setting.
        other: fields that are otherwise, as the model of a family.
    """
    fields = {
        "model": found.model,
        "dataset": found.dataset,
        "device": str(found.device).partition(":")[0],
        "batch_size": int(found.batch_size),
        "note": note,
    }
    return Setting(**fields | other)


@dataclass(frozen=True)
class Scope:
    """The setting in which a source makes a claim. What is empty may be anything.

    Args:
        words: the setting, as it reads after "in the paper's setting".
        models: specs, one of which must fit: a name, with ``*`` for any text, and the parameters
            that must be so (``mlp(width=512)`` is an MLP of that width and of any depth).
        datasets: the same of data sets.
        devices: kinds of device.
        notes: of settings.
    """

    words: str
    models: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_everywhere(self) -> bool:
        """True if no setting is outside."""
        return not (self.models or self.datasets or self.devices or self.notes)

    def contains(self, setting: Setting) -> bool:
        """True if a setting is the source's, as far as this says what that is."""
        return (
            _fits(setting.model, self.models, registry.MODELS)
            and _fits(setting.dataset, self.datasets, registry.DATASETS)
            and (not self.devices or setting.device in self.devices)
            and (not self.notes or setting.note in self.notes)
        )


ANYWHERE = Scope("any setting")
"""Of an identity, or of a question that is asked of whatever is at hand."""


def _fits(text: str, patterns: Sequence[str], things: registry.Registry) -> bool:
    return not patterns or any(_matches(text, pattern, things) for pattern in patterns)


def _matches(text: str, pattern: str, things: registry.Registry) -> bool:
    """True if a spec has the pattern's name and parameters, the thing's own defaults included."""
    name, bracket, _ = pattern.partition("(")
    if not fnmatchcase(_name(text), name):
        return False
    if not bracket:
        return True
    asked = parse(f"x{pattern[len(name) :]}").parameters
    own = parse(text).parameters
    if asked.keys() - own.keys():
        defaults = things.signature(_name(text)).parameters
        own = {key: defaults[key].default for key in asked if key in defaults} | own
    return all(_plain(own.get(key)) == _plain(value) for key, value in asked.items())


def _name(text: str) -> str:
    """The name in a spec, of a run's records perhaps that were made by another version."""
    return text.partition("(")[0]


def _plain(value: Any) -> Any:
    """A list as the tuple that it may as well be spelled as."""
    return tuple(value) if isinstance(value, list) else value


def in_words(settings: Iterable[Setting]) -> str:
    """The models, data and devices of settings: ``resnet-8, resnet-20 on digits, on a CPU``."""
    settings = list(settings)
    devices = dict.fromkeys(DEVICES.get(s.device, s.device) for s in settings)
    models, data = _named([s.model for s in settings]), _named([s.dataset for s in settings])
    return f"{models} on {data}, on {' and '.join(devices)}"


def _named(specs: Iterable[str]) -> str:
    """Specs by commas; of several with one name the name, and how many there are."""
    names: dict[str, list[str]] = {}
    for spec in dict.fromkeys(specs):
        names.setdefault(_name(spec), []).append(spec)
    return ", ".join(
        own[0] if len(own) == 1 else f"{name} ({len(own)} variants)" for name, own in names.items()
    )
