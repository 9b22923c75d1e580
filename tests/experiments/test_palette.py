"""Colours of methods: far from each other in CIELAB, also where red and green look alike."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
import seaborn as sns
from matplotlib.colors import to_hex, to_rgb

from gr_bench import registry
from gr_bench.experiments import style
from gr_bench.experiments.palette import BUILT_IN, FAR, FIRST, PLUG_INS, colors, distance

DEUTERANOPIA = np.array(
    [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ]
)
"""What is left of linear sRGB without the cones of middle wavelength (Machado et al. 2009)."""

CLASH = ("a:M31", "b:M31")
"""The same name in two places: the same hash."""


def linear(color: str) -> np.ndarray:
    value = np.array(to_rgb(color))
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(color: str, sight: np.ndarray | None = None) -> np.ndarray:
    """CIELAB of a colour under D65."""
    of_light = linear(color)
    if sight is not None:
        of_light = np.clip(sight @ of_light, 0, 1)
    primaries = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    x, y, z = np.array(primaries) @ of_light / [0.95047, 1, 1.08883]
    fx, fy, fz = (
        np.cbrt(v) if v > (6 / 29) ** 3 else v / (3 * (6 / 29) ** 2) + 4 / 29 for v in (x, y, z)
    )
    return np.array([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)])


def least_distance(colors: tuple[str, ...], sight: np.ndarray | None = None) -> float:
    values = [lab(color, sight) for color in colors]
    return min(np.linalg.norm(a - b) for a, b in itertools.combinations(values, 2))


def test_the_distance_in_cielab_is_that_of_known_colours() -> None:
    assert lab("#ffffff") == pytest.approx([100, 0, 0], abs=0.1)
    assert lab("#ff0000") == pytest.approx([53.2, 80.1, 67.2], abs=0.1)
    assert np.linalg.norm(lab("#ff0000") - lab("#00ff00")) > 150
    green = np.linalg.norm(lab("#a0522d", DEUTERANOPIA) - lab("#6b6b1f", DEUTERANOPIA))
    assert green < 0.6 * np.linalg.norm(lab("#a0522d") - lab("#6b6b1f"))


@pytest.mark.parametrize(
    ("colours", "normal", "colour_blind"),
    [(BUILT_IN, 20, 10), (BUILT_IN + PLUG_INS, 18, 8.5)],
)
def test_all_colours_can_be_told_apart(
    colours: tuple[str, ...], normal: float, colour_blind: float
) -> None:
    assert least_distance(colours) > normal
    assert least_distance(colours, DEUTERANOPIA) > colour_blind
    assert min(np.linalg.norm(lab(c) - lab("#ffffff")) for c in colours) > 25


def test_there_are_enough_for_all_that_is_built_in() -> None:
    assert len(registry.METHODS.built_in) <= len(BUILT_IN)
    found = colors(registry.METHODS.built_in)
    assert len({*found.values()}) == len(registry.METHODS.built_in)


def test_the_first_methods_keep_the_colours_that_they_had() -> None:
    before = sns.color_palette("colorblind", 10)
    assert list(BUILT_IN[:10]) == [to_hex(color) for color in before]
    assert [colors([name])[name] for name in FIRST] == list(BUILT_IN[:10])
    assert {*FIRST} <= {*registry.METHODS.built_in}


def test_a_method_that_is_added_before_others_changes_no_colour_of_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    more = {"new": "x:Y", **registry.METHODS.built_in, "newer": "x:Z"}
    changed = registry.Registry("method", more)
    monkeypatch.setattr(registry, "METHODS", changed)
    found = colors(more)
    assert [found[name] for name in FIRST] == list(BUILT_IN[:10])
    assert {found["new"], found["newer"]} <= {*BUILT_IN[10:]}
    assert found["new"] != found["newer"]


# --- methods from elsewhere


def test_the_distance_is_the_smallest_of_three() -> None:
    for a, b in itertools.combinations(BUILT_IN[:8], 2):
        plain = np.linalg.norm(lab(a) - lab(b))
        blind = 2 * np.linalg.norm(lab(a, DEUTERANOPIA) - lab(b, DEUTERANOPIA))
        assert distance(a, b) <= min(plain, blind) + 1e-9
    assert distance("#ff0000", "#00ff00") < 0.9 * np.linalg.norm(lab("#ff0000") - lab("#00ff00"))
    assert distance("#000000", "#ffffff") == pytest.approx(100, abs=0.1)


def test_the_colour_of_a_method_is_its_own_where_it_is_far_from_others() -> None:
    names = ["my_package:Mine", "methods.py:Sharper", "other"]
    alone = {name: colors([name])[name] for name in names}
    assert {*alone.values()} <= {*PLUG_INS}
    rng = random.Random(0)
    together = colors(names)
    for _ in range(5):
        rng.shuffle(names)
        assert colors(names) == together
    for name in names:
        others = [color for other, color in together.items() if other < name]
        if all(distance(alone[name], color) >= FAR for color in others):
            assert together[name] == alone[name]
    assert (
        colors(["elsewhere/methods.py:Sharper"])["elsewhere/methods.py:Sharper"]
        == (alone["methods.py:Sharper"])
    )


@pytest.mark.parametrize("seed", range(20))
def test_methods_of_a_run_are_far_from_each_other(seed: int) -> None:
    rng = random.Random(seed)
    own = [f"m:Method{rng.randrange(10**6)}" for _ in range(3)]
    found = colors(["sgd", "sam", "f-gr", "late(sam)", *own])
    for one, other in itertools.combinations(found, 2):
        if {one, other} - {*registry.METHODS.built_in}:  # those are what they are
            assert distance(found[one], found[other]) >= FAR, (one, other)


def test_the_two_of_the_documentation_are_not_both_brown() -> None:
    found = colors(["sgd", "sam", "f-gr", "Lookback", "late(sam)"])
    assert distance(found["Lookback"], found["late(sam)"]) >= FAR


def test_two_of_one_hash_are_told_apart_in_any_order() -> None:
    first, second = CLASH
    assert colors([first])[first] == colors([second])[second]
    found = colors(CLASH)
    assert found == colors(reversed(CLASH))
    assert found[first] == colors([first])[first]
    assert found[second] not in (found[first], *BUILT_IN)


@pytest.mark.parametrize("count", [3, 8, len(PLUG_INS)])
def test_no_two_of_a_run_share_a_colour_while_there_are_any(count: int) -> None:
    names = [f"m:Method{number}" for number in range(count)]
    found = colors(names)
    assert len({*found.values()}) == count


def test_more_than_there_are_colours_share_some() -> None:
    names = [f"m:Method{number}" for number in range(2 * len(PLUG_INS))]
    assert {*colors(names)} == {*names}


def test_figures_have_these_colours_whatever_the_numbers() -> None:
    style.set_methods(["a:M31(x=1)", "a:M31(x=2)", "b:M31(x=1)", "sgd"])
    found = colors([*CLASH, "sgd"])
    assert style.color("b:M31(x=3)") == found["b:M31"] != style.color("a:M31")
    assert style.color("f-gr(gamma=0.1, epsilon=0.05)") == BUILT_IN[2]
    style.set_methods()
    assert style.color("b:M31") == style.color("a:M31")
