from __future__ import annotations

import keyword

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gr_bench.errors import RequestError
from gr_bench.spec import Spec, expand, parse

names = st.from_regex(r"[A-Za-z0-9_][\w.:/-]*", fullmatch=True)
keys = st.from_regex(r"[a-z_][a-z_0-9]{0,8}", fullmatch=True).filter(
    lambda key: not keyword.iskeyword(key)
)
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=8)
)
values = leaves | st.tuples(leaves, leaves) | st.lists(leaves, max_size=3)
specs = st.builds(
    Spec, names, st.dictionaries(keys, values, max_size=4).map(lambda d: tuple(d.items()))
)


@given(specs)
def test_what_a_spec_prints_reads_back_as_the_same_spec(spec: Spec) -> None:
    assert parse(str(spec)) == spec


@given(st.text())
def test_any_text_is_a_spec_or_a_request_error(text: str) -> None:
    for read in (parse, expand):
        try:
            read(text)
        except RequestError as error:
            assert repr(text) in str(error)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mlp(",
        "mlp)",
        "mlp(4)",
        "mlp(depth)",
        "mlp(depth=four)",
        "mlp(depth=4, depth=8)",
        "mlp(**{'depth': 4})",
        "mlp(depth=4)(width=8)",
        "mlp(depth=4).wide(width=8)",
        "mlp(depth=4) + mlp(width=8)",
        "mlp(depth={[]: 1})",
        "mlp(depth=__import__('os'))",
        "mlp(depth=4) mlp",
        "mlp(depth=" + "-" * 100_000 + "4)",
    ],
)
def test_what_is_no_spec_is_refused_with_the_right_form(text: str) -> None:
    with pytest.raises(RequestError, match=r"write name\(key=value\)"):
        parse(text)


def test_spaces_and_empty_brackets_do_not_matter() -> None:
    assert parse(" mlp ") == parse("mlp()") == Spec("mlp")
    assert parse("mlp( depth = 4 )") == Spec("mlp", (("depth", 4),))


def test_a_list_stands_for_several_specs_with_the_last_key_fastest() -> None:
    assert [str(spec) for spec in expand("f-gr(gamma=[0.1, 0.3], epsilon=[1, 2])")] == [
        "f-gr(gamma=0.1, epsilon=1)",
        "f-gr(gamma=0.1, epsilon=2)",
        "f-gr(gamma=0.3, epsilon=1)",
        "f-gr(gamma=0.3, epsilon=2)",
    ]


def test_a_tuple_is_one_value() -> None:
    assert expand("random(shape=(3, 8, 8))") == [Spec("random", (("shape", (3, 8, 8)),))]


def test_an_empty_list_is_refused() -> None:
    with pytest.raises(RequestError, match="empty list"):
        expand("f-gr(gamma=[])")


@given(st.lists(st.lists(st.integers(), min_size=1, max_size=3), max_size=3))
def test_expanding_gives_every_combination_once(choices: list[list[int]]) -> None:
    text = str(Spec("m", tuple((f"k{i}", chosen) for i, chosen in enumerate(choices))))
    expanded = expand(text)
    count = 1
    for chosen in choices:
        count *= len(chosen)
    assert len(expanded) == count
    for spec in expanded:
        assert all(v in chosen for v, chosen in zip(spec.parameters.values(), choices, strict=True))
