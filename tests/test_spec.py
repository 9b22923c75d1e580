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
arguments = st.dictionaries(keys, values, max_size=4).map(lambda d: tuple(d.items()))
specs = st.recursive(
    st.builds(Spec, names, arguments),
    lambda inner: st.builds(Spec, names, arguments, inner),
    max_leaves=4,
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
        "mlp(depth=four)",
        "mlp(depth=4, depth=8)",
        "mlp(**{'depth': 4})",
        "mlp(depth=4)(width=8)",
        "mlp(depth=4).wide(width=8)",
        "mlp(depth=4) + mlp(width=8)",
        "mlp(depth={[]: 1})",
        "mlp(depth=__import__('os'))",
        "mlp(depth=4) mlp",
        "late(sam share=1)",
        "late(sam, sgd)",
        "late(share=1, sam)",
        "late(sam(rho=1)",
        "late(sam(rho=1)))",
        "late(sam(rho=(1), share=1)",
        "late(sam(rho=1]), share=1)",
        "late(, share=1)",
        "late((sam), share=1)",
        "late('sam')",
        "late(sam, 'share')",
        "a(" * 100_000,
        "mlp(depth=" + "-" * 100_000 + "4)",
    ],
)
def test_what_is_no_spec_is_refused_with_the_right_form(text: str) -> None:
    with pytest.raises(RequestError, match=r"write name\(key=value\)"):
        parse(text)


def test_spaces_and_empty_brackets_do_not_matter() -> None:
    assert parse(" mlp ") == parse("mlp()") == Spec("mlp")
    assert parse("mlp( depth = 4 )") == Spec("mlp", (("depth", 4),))


def test_a_spec_may_hold_another_first() -> None:
    sam = Spec("sam", (("rho", 0.1),))
    assert parse("late(sam(rho=0.1), share=0.2)") == Spec("late", (("share", 0.2),), sam)
    assert parse(" late ( sam ( rho = 0.1 ) , ) ") == Spec("late", (), sam)
    assert parse("late(my-pkg.mod:Sam/2)") == Spec("late", (), Spec("my-pkg.mod:Sam/2"))
    assert parse("a(b(c), x=1)") == Spec("a", (("x", 1),), Spec("b", (), Spec("c")))


@pytest.mark.parametrize(
    "value", [")", "(", "'", '"', "\\", "a), b=(", "'''", '"""', "\n#", "\\')", "a=1, b=["]
)
def test_brackets_and_quotes_in_a_value_end_no_spec(value: str) -> None:
    inner = Spec("sam", (("x", value), ("y", (value, [value]))))
    spec = Spec("late", (("z", {value: value}),), inner)
    assert parse(str(spec)) == spec


def test_a_string_in_three_quotes_is_one_value() -> None:
    for quotes in ("'''", '"""'):
        found = parse(f"late(sam(x={quotes}a')\" {quotes}, y=1))")
        assert found == Spec("late", (), Spec("sam", (("x", "a')\" "), ("y", 1))))


def test_names_and_parameters_of_a_spec_with_others_inside() -> None:
    spec = parse("late(every(late(sam(rho=1, k=2), share=0.5), k=3), share=0.1)")
    assert spec.kind == "late(every(late(sam)))"
    assert spec.frame == "late(every(late(sam, share=0.5), k=3), share=0.1)"
    assert spec.all_parameters == {"rho": 1, "k": 2, "share": 0.5, "every_k": 3, "late_share": 0.1}
    plain = parse("sam(rho=1)")
    assert (plain.kind, plain.frame, plain.all_parameters) == ("sam", "sam", {"rho": 1})


def test_what_is_no_number_decides_the_frame() -> None:
    spec = parse("SAM(rho=0.1, adaptive=True, kind='b', betas=(1, 2), also=(1, 'x'), top=None)")
    assert spec.frame == "SAM(adaptive=True, kind='b', also=(1, 'x'), top=None)"
    assert parse("late(SAM(rho=0.1, adaptive=True), share=0.2)").frame == (
        "late(SAM(adaptive=True), share=0.2)"
    )


def test_a_parameter_is_called_by_its_spec_until_that_is_a_name_of_its_own() -> None:
    spec = parse("k(k(k(m, k=1), k=2), k=3)")
    assert spec.all_parameters == {"k": 1, "k_k": 2, "k_k_k": 3}


def test_lists_inside_stand_for_several_with_the_outermost_fastest() -> None:
    assert [str(spec) for spec in expand("late(sam(rho=[0.05, 0.1]), share=[0.1, 0.2])")] == [
        "late(sam(rho=0.05), share=0.1)",
        "late(sam(rho=0.05), share=0.2)",
        "late(sam(rho=0.1), share=0.1)",
        "late(sam(rho=0.1), share=0.2)",
    ]
    with pytest.raises(RequestError, match="empty list"):
        expand("late(sam(rho=[]), share=[0.1, 0.2])")


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
