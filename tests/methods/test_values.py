"""A method is a value: immutable, equal and printed by its numbers, and checked when made."""

import copy
import dataclasses
import math
import pickle
import re

import numpy as np
import pytest

import gr_bench.methods
from gr_bench.methods import (
    GNP,
    METHODS,
    SGD,
    CentralGR,
    Flooding,
    ForwardGR,
    Method,
    TwoPoint,
    get,
)

BUILT_IN = pytest.mark.parametrize("cls", METHODS.values(), ids=METHODS)
ARGUMENTS = [
    pytest.param(cls, key, id=f"{cls.name}-{key}")
    for cls in METHODS.values()
    for key in cls().parameters
]
EACH_ARGUMENT = pytest.mark.parametrize(("cls", "key"), ARGUMENTS)


def read(text):
    """The method that a printed spelling names."""
    name, arguments = re.fullmatch(r"([a-z-]+)(?:\((.*)\))?", text).groups()
    pairs = [pair.split("=") for pair in arguments.split(", ")] if arguments else []
    return get(name, **{key: float(value) for key, value in pairs})


@pytest.mark.parametrize(
    ("method", "text"),
    [
        (SGD(), "sgd"),
        (ForwardGR(gamma=0.1, epsilon=0.05), "f-gr(gamma=0.1, epsilon=0.05)"),
        (GNP(r=1, alpha=0.123456789), "gnp(r=1, alpha=0.123456789)"),
        (ForwardGR(gamma=1e-7, epsilon=1 / 3), "f-gr(gamma=1e-07, epsilon=0.3333333333333333)"),
        (Flooding(np.float64(0.123456789)), "flooding(level=0.123456789)"),
    ],
)
def test_printed_as_a_suite_spells_it(method, text):
    """name(number=value, ...), each value in the shortest spelling that is exact."""
    assert str(method) == text
    assert read(text) == method


@BUILT_IN
def test_spelling_and_repr_round_trip(cls):
    """What is printed, read back, is the same value; repr is Python."""
    others = {
        key: value + 1 if key == cls.period else value / 3
        for key, value in cls().parameters.items()
    }
    for method in (cls(), cls(**others)):
        assert read(str(method)) == method
        assert eval(repr(method), {cls.__name__: cls}) == method
        assert get(method.name, **method.parameters) == method


@BUILT_IN
def test_a_methods_numbers_and_kept_memory_cannot_be_replaced(cls):
    """Neither a number nor the kept memory can be replaced."""
    method = cls()
    for key in (*method.parameters, "workspace"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(method, key, 0.2)


@EACH_ARGUMENT
def test_equal_and_hashed_by_value(cls, key):
    """Same numbers: equal, same hash; another number: another value."""
    one, other = (2, 3) if key == cls.period else (1 / 2, 1 / 3)
    assert cls(**{key: one}) == cls(**{key: one})
    assert hash(cls(**{key: one})) == hash(cls(**{key: one}))
    assert len({cls(**{key: value}) for value in (one, other, other)}) == 2
    assert cls(**{key: one}) != cls(**{key: other})


def test_different_methods_with_the_same_numbers_differ():
    """F-GR and C-GR are not the same value."""
    assert ForwardGR(0.1, 0.05) != CentralGR(0.1, 0.05)


@pytest.mark.parametrize("kind", [int, float, np.float64, np.float32, np.int64])
@EACH_ARGUMENT
def test_any_kind_of_number_makes_the_same_value(cls, key, kind):
    """1, 1.0 and NumPy's 1 are one value, print alike and are kept as float."""
    method = cls(**{key: kind(1)})
    assert method == cls(**{key: 1.0})
    assert repr(method) == repr(cls(**{key: 1.0}))
    assert f"{key}=1" in str(method)
    assert type(method.parameters[key]) is float


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, -0.1, -1, True, "0.1", None])
@EACH_ARGUMENT
def test_out_of_range_is_refused(cls, key, bad):
    """The message names the argument and shows what it got."""
    with pytest.raises(ValueError, match=rf"^{key} must be .*{re.escape(repr(bad))}$"):
        get(cls.name, **{key: bad})


@EACH_ARGUMENT
def test_zero_is_allowed_but_for_epsilon_and_k(cls, key):
    """ε divides, k is a number of steps; every other number may be 0."""
    if key == cls.period:
        for bad in (0, 1.5):
            with pytest.raises(ValueError, match=f"k must be a whole number >= 1, not {bad}"):
                cls(k=bad)
    elif key == "epsilon":
        with pytest.raises(ValueError, match="epsilon must be a finite number > 0, not 0"):
            cls(epsilon=0)
    else:
        assert cls(**{key: 0}).parameters[key] == 0


def test_share_of_gnp_is_at_most_one():
    """α in [0, 1]."""
    with pytest.raises(ValueError, match=r"alpha must be in \[0, 1\], not 1.5"):
        GNP(alpha=1.5)


def test_unknown_names_are_answered_with_a_hint():
    """The nearest method, or all of them; the parameters that there are."""
    with pytest.raises(ValueError, match="no method 'f-rg': did you mean 'f-gr'"):
        get("f-rg")
    with pytest.raises(ValueError, match="no method 'xyz': known: sgd, sam, f-gr"):
        get("xyz")
    with pytest.raises(ValueError, match="'f-gr' has no parameter 'rho': it takes gamma, epsilon"):
        get("f-gr", rho=0.1)
    with pytest.raises(ValueError, match="'sgd' has no parameter 'rho': it takes no parameters"):
        get("sgd", rho=0.1)
    with pytest.raises(ValueError, match="no parameter 'workspace'"):
        get("f-gr", workspace=None)


@BUILT_IN
@pytest.mark.parametrize("twin", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_are_equal_and_carry_no_memory(cls, twin, make_problem):
    """A copy, also to another process, is the value alone."""
    method = cls()
    make_problem("mlp").step(method)
    copied = twin(method)
    assert copied == method
    assert copied.workspace is not method.workspace
    assert copied.workspace.nbytes == 0
    assert len(pickle.dumps(method)) < 500


def test_replace_makes_another_value():
    """dataclasses.replace, for grids; the new value shares no memory with the old."""
    method = ForwardGR(0.1, 0.05)
    other = dataclasses.replace(method, gamma=0.2)
    assert other == ForwardGR(0.2, 0.05)
    assert other.workspace is not method.workspace


def test_every_built_in_method_is_public_and_explained():
    """Each has a name of its own, the formula of its d, and its arguments, in the docstring."""
    assert len(METHODS) == len(set(METHODS.values()))
    for name, cls in METHODS.items():
        assert cls.name == name
        assert issubclass(cls, Method)
        assert getattr(gr_bench.methods, cls.__name__) is cls
        assert "d = " in cls.__doc__
        assert all(f"{key}: " in cls.__doc__ for key in cls().parameters)
    for public in gr_bench.methods.__all__:
        assert hasattr(gr_bench.methods, public)
    assert "d = (1 - c)·g + c·g'" in (gr_bench.methods.two_point.__doc__ or "")
    assert TwoPoint.__doc__


def test_plug_in_prints_and_compares_as_the_built_in_ones_do(plug_in):
    """A subclass in ten lines is a full value."""
    assert str(plug_in(rate=1)) == "extragradient(rate=1)"
    assert plug_in(1) == plug_in(1.0)
    assert copy.deepcopy(plug_in()) == plug_in()
