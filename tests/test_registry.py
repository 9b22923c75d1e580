from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import plugged
import pytest
import torch

from gr_bench import registry
from gr_bench.errors import RequestError
from gr_bench.experiments import all_experiments
from gr_bench.methods import METHODS, ForwardGR


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package with one entry point of every kind, the name of its module."""
    (tmp_path / "another_package.py").write_text(
        "from plugged import Bare, Plain, one_row\n"
        "from gr_bench.experiments import EXPERIMENTS\n"
        "class Question(type(EXPERIMENTS[0])):\n"
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
    registry.added.cache_clear()
    yield "another_package"
    registry.added.cache_clear()


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
        ("no_such_module:Method", "cannot be imported: No module named"),
        ("plugged:NoSuchClass", "cannot be imported"),
        ("plugged:NOT_A_METHOD", "not"),
        ("builtins:dict", "not"),
        ("os:getcwd", "no gr_bench.methods.Method"),
        (":", "cannot be imported"),
    ],
)
def test_a_method_that_cannot_be_built_is_a_request_error(text: str, reason: str) -> None:
    with pytest.raises(RequestError) as error:
        registry.build_method(text)
    assert reason in str(error.value)


def test_a_plug_in_is_named_where_it_stands() -> None:
    assert registry.build_method("plugged:Plain(gamma=0.1)") == plugged.Plain(gamma=0.1)


def test_a_plug_in_is_spelled_by_the_name_that_finds_it() -> None:
    spelled = registry.spell_method("plugged:Plain")
    assert spelled == "plugged:Plain(gamma=0.5)"
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


def test_entry_points_are_listed_after_what_is_built_in(installed: str) -> None:
    assert list(registry.METHODS) == [*METHODS, "plain", "missing"]


def test_entry_points_are_among_the_nearest_names(installed: str) -> None:
    with pytest.raises(RequestError, match="did you mean 'plain'"):
        registry.build_method("plein")


def test_an_entry_point_that_leads_nowhere_is_a_request_error(installed: str) -> None:
    with pytest.raises(RequestError, match="'missing' cannot be imported"):
        registry.build_method("missing")
