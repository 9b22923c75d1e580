"""Methods made of others are values: they compare, print, hash and copy as all methods do."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import pytest
import torch
from torch import nn

import gr_bench.methods
from gr_bench.methods import COMBINATORS, Clipped, Combinator, Every, Late, Method, Ramp, get

MADE = {name: get(name, get("f-gr")) for name in COMBINATORS}
EACH = pytest.mark.parametrize("name", COMBINATORS)


@EACH
def test_each_is_public_found_by_name_and_explained(name: str) -> None:
    method, cls = MADE[name], type(MADE[name])
    assert isinstance(method, Combinator)
    assert (cls.name, method.method) == (name, get("f-gr"))
    assert getattr(gr_bench.methods, cls.__name__) is cls
    assert cls(get("f-gr")) == method
    doc = cls.__doc__ or ""
    assert "d = " in doc or "L = " in doc
    fields = dataclasses.fields(cls)
    assert [f.name for f in fields if f.init] == ["method", *method.parameters]
    for key in method.parameters:
        assert f"{key}: " in doc or f"{key}: " in (gr_bench.methods.Without.__doc__ or "")


@EACH
def test_equal_by_the_numbers_of_all(name: str) -> None:
    method = MADE[name]
    assert method == get(name, get("f-gr", gamma=0.1, epsilon=0.05))
    assert hash(method) == hash(get(name, get("f-gr")))
    assert method != get(name, get("f-gr", gamma=0.2))
    assert method != get(name, get("b-gr"))
    assert str(method).startswith(f"{name}(f-gr(gamma=0.1, epsilon=0.05), ")
    assert len({*MADE.values(), get(name, get("f-gr"))}) == len(MADE)


@pytest.mark.parametrize(
    "twin", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)), dataclasses.replace]
)
def test_copies_are_equal_and_share_no_memory(twin) -> None:
    p = nn.Parameter(torch.ones(1000))
    method: Method = Clipped(Every(get("f-gr"), k=2))
    method.backward(lambda: (p**2).sum(), [p])
    assert method.workspace.nbytes == p.nbytes
    copied = twin(method)
    assert copied == method
    assert copied.workspace.nbytes == 0
    inside = [method.method.method.workspace, copied.method.method.workspace]
    assert inside[0] is method.workspace
    assert inside[1] is copied.workspace is not method.workspace


@EACH
def test_neither_a_number_nor_the_method_inside_can_be_replaced(name: str) -> None:
    for key in ("method", *MADE[name].parameters):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(MADE[name], key, 1)


def test_numbers_of_any_kind_make_the_same_value() -> None:
    assert Every(get("sam"), k=5) == Every(get("sam"), k=5.0)
    assert str(Late(get("sam"), share=1)) == "late(sam(rho=0.05), share=1)"
    assert str(Ramp(get("f-gr"))) == (
        "ramp(f-gr(gamma=0.1, epsilon=0.05), parameter='gamma', start=0, share=1)"
    )


def test_what_is_asked_for_wrongly_is_refused() -> None:
    with pytest.raises(ValueError, match="'late' takes one method inside, not 0"):
        get("late", share=0.1)
    with pytest.raises(ValueError, match="'sam' takes no method inside, not 1"):
        get("sam", get("sgd"))
    with pytest.raises(ValueError, match="method 'late' has no parameter 'rho': it takes share"):
        get("late", get("sam"), rho=1)
    with pytest.raises(ValueError, match="method 'late' has no parameter 'method'"):
        get("late", get("sam"), method=get("sam"))
    with pytest.raises(ValueError, match="no method 'lat': did you mean 'late'"):
        get("lat", get("sam"))
