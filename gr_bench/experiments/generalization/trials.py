"""Trials: settings of a method that are drawn from what a grid lists and from its ranges."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, Field, PlainValidator, TypeAdapter

from gr_bench import registry
from gr_bench.errors import RequestError
from gr_bench.experiments.grid import Names
from gr_bench.ranges import Range, parse_range
from gr_bench.spec import Spec, expand, parse

MOST_DRAWS = 2**12
"""Points of the sequence that are looked at for settings that are not there yet."""


def _spelled(spec: Spec) -> str:
    """A method as a grid keeps it, names and parameters checked, its ranges left in it."""
    middle = spec.drawn(itertools.repeat(0.5))
    return str(parse(registry.spell_method(str(middle))).with_ranges_of(spec))


def _known_methods(texts: list[str]) -> list[str]:
    found: dict[str, None] = {}
    for spec in (spec for text in texts for spec in expand(text)):
        own = _spelled(spec) if spec.ranges else registry.spell_method(str(spec))
        if own in found:
            raise ValueError(f"method {own!r} is named twice")
        found[own] = None
    return list(found)


Methods = Annotated[Names, AfterValidator(_known_methods)]
"""As of every grid, and ranges among their numbers."""

_RATES: TypeAdapter[list[float]] = TypeAdapter(
    Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)]
)
_DECAYS: TypeAdapter[list[float]] = TypeAdapter(
    Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=1)]
)


def _rates(value: Any) -> list[float] | str:
    if not isinstance(value, str):
        return _RATES.validate_python(value)
    found = parse_range(value)
    if found.low <= 0:
        raise ValueError(f"{found} is not a range of learning rates: both ends must be above 0")
    return str(found)


def _decays(value: Any) -> list[float] | str | None:
    if not isinstance(value, str):
        return None if value is None else _DECAYS.validate_python(value)
    found = parse_range(value)
    if found.low < 0:
        raise ValueError(f"{found} is not a range of weight decays: they cannot be negative")
    return str(found)


Rates = Annotated[list[float] | str, PlainValidator(_rates)]
"""Learning rates, in a list or as a range."""

Decays = Annotated[list[float] | str | None, PlainValidator(_decays)]
"""Weight decays, in a list or as a range."""


class Setting(NamedTuple):
    """All that is chosen of a training."""

    spec: str
    learning_rate: float
    weight_decay: float | None


@dataclass(frozen=True)
class Space:
    """All settings of one method that a grid allows.

    Attributes:
        specs: the method as the grid lists it, with or without ranges.
        learning_rates: numbers, or one range.
        weight_decays: numbers, or one range; None where the optimizer has its own.
    """

    specs: tuple[str, ...]
    learning_rates: tuple[float | Range, ...]
    weight_decays: tuple[float | Range | None, ...]

    @property
    def size(self) -> float:
        """The number of its settings; infinite if there is a range."""
        numbers = (*self.learning_rates, *self.weight_decays)
        if any(isinstance(n, Range) for n in numbers) or any(parse(s).ranges for s in self.specs):
            return math.inf
        return len(self.specs) * len(self.learning_rates) * len(self.weight_decays)

    @property
    def dimensions(self) -> int:
        """Numbers in [0, 1) that lead to a setting."""
        return 3 + max(len(parse(spec).ranges) for spec in self.specs)

    def at(self, point: Sequence[float]) -> tuple[int, Setting]:
        """The setting at a point of the unit cube, and the place of its method in ``specs``.

        Its coordinates: which of the specs, the learning rate, the weight decay, then a number for
        each range of the spec. Of n that are listed, each has 1/n of its coordinate.
        """
        which, rate, decay, *rest = point
        place = _place(which, len(self.specs))
        spec = self.specs[place]
        if (read := parse(spec)).ranges:
            spec = registry.spell_method(str(read.drawn(iter(rest))))
        learning_rate = _number(self.learning_rates, rate)
        assert learning_rate is not None
        return place, Setting(spec, learning_rate, _number(self.weight_decays, decay))

    def listed(self) -> Iterator[tuple[int, Setting]]:
        """The settings of a space without ranges, as :meth:`at` gives them, in their order."""
        for place, spec in enumerate(self.specs):
            for rate in self.learning_rates:
                for decay in self.weight_decays:
                    assert not isinstance(rate, Range)
                    assert not isinstance(decay, Range)
                    yield place, Setting(spec, rate, decay)


def _place(part: float, count: int) -> int:
    return min(int(part * count), count - 1)


def _number(values: Sequence[float | Range | None], part: float) -> float | None:
    """The number that ``part`` leads to among numbers, or in the one range."""
    first = values[0]
    if isinstance(first, Range):
        return first.at(part)
    found = values[_place(part, len(values))]
    assert not isinstance(found, Range)
    return found


def numbers(listed: Sequence[float | None] | str) -> tuple[float | Range | None, ...]:
    """A grid's list of numbers or range, for a :class:`Space`."""
    return (parse_range(listed),) if isinstance(listed, str) else tuple(listed)


@cache
def draw(space: Space, count: int, seed: str) -> tuple[tuple[int, Setting], ...]:
    """``count`` settings of a space, no two alike, each with its spec's place in the space.

    They are at the points of Sobol's sequence (1967), scrambled by ``seed`` as Matoušek has it
    (J. Complexity, 1998), in turn (``scipy.stats.qmc.Sobol``): spread more evenly than random ones,
    and each alone uniform. What is there already is passed over. The first trials are the same
    whatever ``count`` is, so that a study with more of them has all those of one with fewer.

    Args:
        space: of one method.
        count: of settings.
        seed: any text.

    Raises:
        RequestError: the space has not so many.
    """
    found: dict[Setting, int] = {}
    if count <= space.size:
        for point in _sequence(space.dimensions, seed):
            place, setting = space.at(point)
            found.setdefault(setting, place)
            if len(found) == count:
                break
        else:  # those of a list that the sequence comes to late
            for place, setting in space.listed() if math.isfinite(space.size) else ():
                if len(found) < count:
                    found.setdefault(setting, place)
    if len(found) < count:
        kind, least = parse(space.specs[0]).kind, len(found) or int(space.size)
        raise RequestError(
            f"{count} trials of {kind}, but only {least} settings to draw from: list more "
            "learning_rates, weight_decays or values, or give wider ranges"
        )
    return tuple((place, setting) for setting, place in found.items())


def _sequence(dimensions: int, seed: str) -> Iterator[list[float]]:
    from scipy.stats import qmc  # it takes half a second, and most suites do without

    number = int(hashlib.sha256(seed.encode()).hexdigest()[:16], 16)
    sequence, size = qmc.Sobol(dimensions, seed=number), 8
    seen = 0
    while seen < MOST_DRAWS:
        # in powers of two, which keeps the sequence balanced
        yield from sequence.random(size).tolist()
        seen += size
        size = seen


SEEDED_BY = (
    *("model", "dataset", "batch_size", "optimizer"),
    *("schedule", "augmentation", "label_noise"),
)
"""Fields of a cell by which draws differ, beside the method: no two workloads have the same luck,
while another device or precision has the same trials."""


def draw_seed(kind: str, fields: Mapping[str, Any], tuning_seed: int) -> str:
    """The seed of a method's draws on a workload, for :func:`draw`."""
    return json.dumps([tuning_seed, kind, *(fields[key] for key in SEEDED_BY)])
