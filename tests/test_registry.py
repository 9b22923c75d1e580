from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import plugged
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gr_bench import registry
from gr_bench.errors import RequestError
from gr_bench.experiments import all_experiments
from gr_bench.methods import COMBINATORS, METHODS, ForwardGR
from gr_bench.spec import parse


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package with one entry point of every kind, the name of its module."""
    (tmp_path / "another_package.py").write_text(
        "from plugged import Bare, Plain, one_row\n"
        "from gr_bench.experiments.step_cost.experiment import StepCost\n"
        "class Question(StepCost):\n"
        "    name = 'question'\n"
    )
    metadata = tmp_path / "another_package-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: another-package\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(
        "[gr_bench.methods]\nplain = another_package:Plain\nmissing = another_package:Missing\n"
        "[gr_bench.models]\nbare = another_package:Bare\n"
        "[gr_bench.datasets]\none-row = another_package:one_row\n"
        "[gr_bench.experiments]\nquestion = another_package:Question\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "another_package", raising=False)
    registry._select_entry_points.cache_clear()
    yield "another_package"
    registry._select_entry_points.cache_clear()


# --- what is known without importing

BUILT_IN = [
    pytest.param(things, name, id=name)
    for things in (registry.METHODS, registry.COMBINATORS, registry.MODELS, registry.DATASETS)
    for name in things.built_in
]


def bare(signature: inspect.Signature) -> list[inspect.Parameter]:
    return [p.replace(annotation=p.empty) for p in signature.parameters.values()]


@pytest.mark.parametrize(("things", "name"), BUILT_IN)
def test_what_is_read_of_a_built_in_thing_is_what_python_says(
    things: registry.Registry, name: str
) -> None:
    thing = things.find(name)
    assert bare(things.signature(name)) == bare(inspect.signature(thing))
    docstring = inspect.getdoc(thing)
    assert docstring and things.summary(name) == docstring.splitlines()[0]


def test_names_spellings_and_refusals_need_no_slow_import() -> None:
    probe = (
        "import sys; from gr_bench import registry; from gr_bench.errors import RequestError\n"
        "from gr_bench.spec import parse\n"
        "print(registry.spell_method('f-gr(gamma=1)'), registry.method_parameters())\n"
        "print(registry.spell_method('late(every(sam))'))\n"
        "registry.MODELS.resolve(parse('resnet-8(width=4)'), given=2)\n"
        "for things in (registry.METHODS, registry.COMBINATORS, registry.MODELS, "
        "registry.DATASETS):\n"
        "    for name in things.built_in: things.summary(name)\n"
        "for spec in ('f-gr(gama=1)', 'sgd(gamma=1)', 'f-gr(', 'late', 'late(sam(rh=1))', "
        "'sam(sgd)'):\n"
        "    try: registry.spell_method(spec)\n"
        "    except RequestError: continue\n"
        "    raise SystemExit(spec)\n"
        "registry.spell_method('gr_bench.peers:TextbookSAM')\n"
        "registry.gradient_evaluations('f-gr')\n"
        "print(registry._select_entry_points.cache_info().misses)\n"
        "try: registry.spell_method('fgr')\n"
        "except RequestError as error: print(error)\n"
        "print(sorted({'torch', 'numpy', 'pydantic'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert ended.stdout.splitlines() == [
        "f-gr(gamma=1, epsilon=0.05) "
        "('rho', 'gamma', 'alpha', 'epsilon', 'decay', 'k', 'level', 'mu', 'r', 'sigma')",
        "late(every(sam(rho=0.05), k=5), share=0.2)",
        "0",  # packages were not asked for more
        "no method 'fgr': did you mean 'f-gr'?",
        "[]",
    ], ended.stderr


def test_the_parameters_of_the_methods_are_those_of_their_values() -> None:
    taken = [key for cls in METHODS.values() for key in cls().parameters]
    assert sorted(registry.method_parameters()) == sorted(set(taken))


@pytest.mark.parametrize("name", [*METHODS, *registry.METHODS.unlisted])
def test_the_passes_of_a_method_are_known_without_importing_it(name: str) -> None:
    numbers = registry.METHODS.signature(name).parameters
    zeros = [key for key in numbers if key not in ("epsilon", "foreach", "k")]
    cycles = [f"{name}(k={k})" for k in (1, 3, 10) if "k" in numbers]
    for text in [name, *(f"{name}({key}=0)" for key in zeros), *cycles]:
        method = registry.build_method(text)
        assert registry.gradient_evaluations(text) == method.gradient_evaluations, text
        assert registry.cycle(text) == method.cycle, text


def test_the_passes_of_a_method_from_elsewhere_are_those_of_its_value() -> None:
    assert registry.gradient_evaluations("plugged:Plain") == 1


@pytest.mark.parametrize("name", registry.METHODS.unlisted)
def test_a_peer_is_found_by_its_name_and_not_listed(name: str) -> None:
    method = registry.build_method(name)
    assert name not in registry.METHODS
    assert registry.spell_method(name) == name + str(method).removeprefix(method.name)
    assert registry.build_method(registry.spell_method(name)) == method


def test_a_built_in_thing_has_the_parameters_that_its_name_leaves_free() -> None:
    assert "depth" not in registry.MODELS.signature("resnet-8").parameters
    with pytest.raises(RequestError, match="'resnet-8' has no parameter 'depth': it takes width"):
        registry.build_model("resnet-8(depth=20)", (1, 8, 8), 2)


def test_a_registry_may_hold_the_things_themselves() -> None:
    def scaled(size: int = 1) -> int:
        """A number.

        And more.
        """
        return 10 * size

    numbers = registry.Registry("number", {"scaled": scaled})
    assert numbers.resolve(parse("scaled(size=3)"))() == 30
    assert numbers.summary("scaled") == "A number."
    with pytest.raises(RequestError, match="number 'scaled' has no parameter 'sise'"):
        numbers.resolve(parse("scaled(sise=3)"))


# --- methods


@pytest.mark.parametrize("name", METHODS)
def test_every_built_in_method_is_found_and_spelled_so_that_it_reads_back(name: str) -> None:
    method = registry.build_method(name)
    assert type(method) is METHODS[name]
    assert registry.build_method(registry.spell_method(name)) == method


def test_parameters_reach_the_method() -> None:
    built = registry.build_method("f-gr(gamma=0.3, epsilon=0.02)")
    assert built == ForwardGR(gamma=0.3, epsilon=0.02)


def test_a_method_is_spelled_with_every_parameter() -> None:
    assert registry.spell_method("f-gr(gamma=1)") == "f-gr(gamma=1, epsilon=0.05)"


numbers = st.floats(min_value=0, max_value=1, exclude_min=True) | st.integers(1, 10**20)


@given(gamma=numbers, epsilon=numbers)
def test_a_method_is_spelled_as_its_value_prints(gamma: float, epsilon: float) -> None:
    text = f"f-gr(epsilon={epsilon!r}, gamma={gamma!r})"
    assert registry.spell_method(text) == str(registry.build_method(text))


@pytest.mark.parametrize("text", ["f-gr(gamma=-1)", "sam(rho='big')", "gnp(alpha=2)"])
def test_a_value_out_of_range_is_spelled_and_then_refused(text: str) -> None:
    spelled = registry.spell_method(text)
    with pytest.raises(RequestError, match="must be"):
        registry.check_method(spelled)
    registry.check_method("f-gr(gamma=1)")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("fgr", "no method 'fgr': did you mean 'f-gr'?"),
        ("zzz", "no method 'zzz': known: sgd, sam, "),
        ("f-gr(gama=0.1)", "no parameter 'gama': it takes gamma, epsilon"),
        ("sgd(gamma=0.1)", "it takes no parameters"),
        ("f-gr(gamma=-1)", "gamma must be a finite number >= 0"),
        ("f-gr(epsilon=0)", "epsilon must be a finite number > 0"),
        ("sam(rho='big')", "rho must be a finite number >= 0"),
        (f"sam(rho={10**400})", "rho must be a finite number >= 0"),
        ("no_such_module:Method", "cannot be imported: No module named"),
        ("plugged:NoSuchClass", "cannot be imported"),
        ("plugged:NOT_A_METHOD", "not"),
        ("builtins:dict", "not"),
        ("os:getcwd", "installed code"),
        (":", "cannot be imported"),
    ],
)
def test_a_method_that_cannot_be_built_is_a_request_error(text: str, reason: str) -> None:
    with pytest.raises(RequestError) as error:
        registry.build_method(text)
    assert reason in str(error.value)


# --- methods made of others

MADE = [
    "warmup(f-gr(gamma=0.2), share=0.3)",
    "late(sam)",
    "every(db-gr, k=3)",
    "ramp(f-gr, start=0.01)",
    "without(asam, names=('*.bias', 'norm(?)'))",
    "only(c-gr, names='*.weight')",
    "clipped(late(every(sam(rho=1), k=2)), norm=2)",
    "accumulated(gnp, parts=2)",
    "late(plugged:Plain(gamma=2))",
]


@pytest.mark.parametrize("text", MADE)
def test_a_method_made_of_another_is_spelled_in_full_so_that_it_reads_back(text: str) -> None:
    method, spelled = registry.build_method(text), registry.spell_method(text)
    again = registry.build_method(spelled)
    assert (again, hash(again)) == (method, hash(method))
    assert registry.spell_method(spelled) == spelled
    assert registry.gradient_evaluations(text) == method.gradient_evaluations
    if "plugged" not in text:
        assert str(method) == spelled


def test_every_parameter_and_the_method_inside_decide_the_value() -> None:
    texts = ["late(sam)", "late(sam(rho=1))", "late(sam, share=1)", "late(asam)", "warmup(sam)"]
    assert len({registry.build_method(text) for text in texts}) == len(texts)


def test_methods_made_of_others_are_listed_apart() -> None:
    assert list(registry.COMBINATORS.built_in) == list(COMBINATORS)
    assert not {*registry.METHODS} & {*registry.COMBINATORS}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("late", "'late' is made of another method, as in late(sam)"),
        ("every(late)", "'late' is made of another method"),
        ("sam(sgd)", "method 'sam' takes no method inside; these do: warmup, late, early"),
        ("lat(sam)", "no combinator 'lat': did you mean 'late'?"),
        ("late(sma)", "no method 'sma': did you mean 'sam'?"),
        ("late(sam, rho=1)", "combinator 'late' has no parameter 'rho': it takes share"),
        ("late(sam, method=1)", "combinator 'late' has no parameter 'method': it takes share"),
        ("late(sam(share=1))", "method 'sam' has no parameter 'share': it takes rho"),
        ("late(sam(rho=-1), share=1)", "method 'sam(rho=-1)': rho must be a finite number >= 0"),
        ("late(sam, share=2)", "share must be a number in [0, 1], not 2"),
        ("accumulated(db-gr)", "db-gr differentiates twice"),
        ("os:getcwd(sam)", "installed code"),
    ],
)
def test_a_method_made_of_another_that_cannot_be_is_a_request_error(text: str, reason: str) -> None:
    with pytest.raises(RequestError) as error:
        registry.build_method(text)
    assert reason in str(error.value)


@pytest.mark.parametrize("things", [registry.MODELS, registry.DATASETS], ids=lambda it: it.kind)
def test_nothing_else_takes_something_inside(things: registry.Registry) -> None:
    name = next(iter(things))
    with pytest.raises(RequestError, match=rf"takes nothing inside: write {name}\(key=value\)"):
        things.resolve(parse(f"{name}(4)"))


def test_a_plug_in_is_named_where_it_stands() -> None:
    assert registry.build_method("plugged:Plain(gamma=0.1)") == plugged.Plain(gamma=0.1)


def test_a_plug_in_is_spelled_by_its_own_name_which_then_finds_it() -> None:
    spelled = registry.spell_method("plugged:Plain")
    assert spelled == "plain(gamma=0.5)"
    assert registry.build_method(spelled) == plugged.Plain(gamma=0.5)


@pytest.mark.parametrize("source", ["1 / 0", "def broken(:", "raise SystemError('no')"])
def test_a_module_that_fails_to_import_is_a_request_error(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_plug_in.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(RequestError, match="cannot be imported"):
        registry.build_method("broken_plug_in:Method")


# --- models and datasets


def test_a_model_is_built_for_the_shape_of_its_inputs() -> None:
    model = registry.build_model("mlp(depth=2, width=5)", (3, 4), 7)
    assert model(torch.zeros(2, 3, 4)).shape == (2, 7)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("mpl", "did you mean 'mlp'?"),
        ("mlp(dept=4)", "it takes depth, width"),
        ("mlp(input_shape=(3,))", "has no parameter 'input_shape'"),
        ("mlp(depth=0)", "depth must be a whole number"),
        ("mlp(depth='x')", "depth must be a whole number"),
    ],
)
def test_a_model_that_cannot_be_built_is_a_request_error(text: str, reason: str) -> None:
    with pytest.raises(RequestError) as error:
        registry.build_model(text, (4,), 3)
    assert reason in str(error.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("digit", "did you mean 'digits'?"),
        ("random(shapes=(3,))", "it takes shape, num_classes"),
        ("random(shape=(0,))", "shape must hold whole numbers of at least 1"),
        ("random(samples=-1)", "samples must be a whole number"),
    ],
)
def test_a_dataset_that_cannot_be_built_is_a_request_error(text: str, reason: str) -> None:
    with pytest.raises(RequestError) as error:
        registry.build_dataset(text)
    assert reason in str(error.value)


def test_a_dataset_is_made_once() -> None:
    assert registry.build_dataset("plugged:blobs") is registry.build_dataset("plugged:blobs")


# --- other packages


def test_entry_points_add_to_every_kind(installed: str) -> None:
    assert registry.build_method("plain(gamma=2)") == plugged.Plain(gamma=2)
    assert isinstance(registry.build_model("bare", (3,), 3), plugged.Bare)
    assert len(registry.build_dataset("one-row").train) == 1
    assert all_experiments()["question"].title == all_experiments()["step_cost"].title


def test_entry_points_of_others_are_not_looked_for_where_none_is_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = tmp_path / "other-1.0.dist-info"
    metadata.mkdir()
    (metadata / "entry_points.txt").write_text("[console_scripts]\nx = gr_bench.cli:main\n")
    assert not registry._may_add(str(tmp_path))
    assert not registry._may_add(str(tmp_path / "nowhere"))
    (metadata / "entry_points.txt").write_text("[gr_bench.methods]\nx = other:X\n")
    assert registry._may_add(str(tmp_path))


def test_entry_points_are_listed_after_what_is_built_in(installed: str) -> None:
    assert list(registry.METHODS) == [*METHODS, "plain", "missing"]


def test_entry_points_are_among_the_nearest_names(installed: str) -> None:
    with pytest.raises(RequestError, match="did you mean 'plain'"):
        registry.build_method("plein")


def test_an_entry_point_that_leads_nowhere_is_a_request_error(installed: str) -> None:
    with pytest.raises(RequestError, match="'missing' cannot be imported"):
        registry.build_method("missing")
