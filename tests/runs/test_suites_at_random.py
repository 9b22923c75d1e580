"""Suites that are nearly right: each is built, or refused in one line."""

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gr_bench.errors import RequestError
from gr_bench.experiments import EXPERIMENTS
from gr_bench.runs.shipped import read_suite, shipped
from gr_bench.runs.suite import Suite, build_suite

SHIPPED = [read_suite(name)[1] for name in shipped()]
WORDS = [
    *("sgd", "sgd(", "sgd)", "sgd()", "sam(rho=)", "sam(rho=nan)", "sam(rho=1e999)", "sam(rho=-1)"),
    *("sam(rho=log(0.1, 1))", "sam(rho=log(0, 1))", "sam(rho=log(1, 0.1))", "sam(rho=log())"),
    *("sam(rho=uniform(0, 1))", "sam(rho=uniform('a', 1))", "sam(rho=[])", "sam(rho=[[1]])"),
    *("sam(rho=[0.1, 'x'])", "sam(rho=0.1, rho=0.2)", "sam(0.1)", "f-gr(gamma={}, epsilon=1)"),
    *("f-gr(**{})", "lookahead(sgd)", "every(sam, k=0)", "mlp(depth='x')", "mlp(depth=10**9)"),
    *("mlp(depth=None)", "random(shape='x')", "random(shape=(0,))", "random(shape=(2,))"),
    *("digits", "cifar10(root='/nowhere')", "nowhere.py:Thing", "nowhere:thing(a=1)", "os:remove"),
    *("log(0.1, 1)", "uniform(0, 1)", "log(-1, 1)", "by seed", "adam(lr=1)", "cuda:99", "cpu"),
    *("../../x", "/", "\x00", "\x1b[31m", "a\nb", "ё", "\u202e", "", " ", "𝔰𝔤𝔡", "(" * 300),
    "sam(rho=" + "[" * 150 + "]" * 150 + ")",
]
LEAVES = st.one_of(
    st.sampled_from(WORDS),
    st.sampled_from([0, 1, -1, 2, 10**9, 2**63, -(2**70), 10**400, True, False]),
    st.sampled_from([0.0, -0.5, 0.5, 1e-320, 1e308, float("nan"), float("inf"), float("-inf")]),
    st.text(max_size=8),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=2)
    ),
    max_leaves=4,
)


def paths(data: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in the data, but for the whole."""
    keys = data if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ()
    return [p for key in keys for p in [(*before, key), *paths(data[key], (*before, key))]]


@st.composite
def nearly_right(draw: st.DrawFn) -> dict[str, Any]:
    """A grid of a shipped suite with one to three things broken."""
    whole = draw(st.sampled_from(SHIPPED))
    key = draw(st.sampled_from([name for name in EXPERIMENTS if name in whole]))
    grid = draw(st.sampled_from(whole[key]))
    data: dict[str, Any] = {"title": "Broken", key: [copy.deepcopy(grid)]}
    fields = list(EXPERIMENTS)
    for _ in range(draw(st.integers(1, 3))):
        places = paths(data)
        if not places:
            break
        *way, last = draw(st.sampled_from(places))
        owner: Any = data
        for step in way:
            owner = owner[step]
        match draw(st.sampled_from(["value", "value", "value", "remove", "rename", "add"])):
            case "value":
                owner[last] = draw(VALUES)
            case "remove":
                del owner[last]
            case "rename" if isinstance(owner, dict):
                owner[draw(st.text(max_size=6) | st.sampled_from(fields))] = owner.pop(last)
            case _ if isinstance(owner, dict):
                owner[draw(st.text(max_size=6) | st.sampled_from(fields))] = draw(VALUES)
            case _:
                owner.append(draw(VALUES))
    return data


@settings(
    max_examples=200, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
@given(nearly_right())
def test_a_suite_is_built_or_refused_in_one_printable_line(data: dict[str, Any]) -> None:
    try:
        suite = build_suite("broken", data)
    except RequestError as error:
        message = str(error)
        assert message
        assert message.isprintable(), ascii(message)
    else:
        assert isinstance(suite, Suite)


@pytest.mark.parametrize("word", WORDS, ids=ascii)
@pytest.mark.parametrize("field", ["methods", "models", "datasets", "optimizers", "device"])
def test_a_strange_word_is_taken_or_refused_in_one_printable_line(field: str, word: str) -> None:
    data = copy.deepcopy(read_suite("compare")[1])
    data["step_cost"] = data["step_cost"][:1]
    data["step_cost"][0][field] = word if field == "device" else [word]
    try:
        build_suite("broken", data)
    except RequestError as error:
        assert str(error).isprintable(), ascii(str(error))
