"""The state that all in a process share, put back after a plug-in has changed it."""

from __future__ import annotations

import pytest
import torch

from gr_bench.timing.first_step import ContractBroken
from gr_bench.timing.shared_state import SharedState, kept_shared_state


def test_what_is_changed_is_put_back_whatever_is_raised() -> None:
    grad, threads = torch.autograd.grad, torch.get_num_threads()

    def change() -> None:
        torch.autograd.grad = None
        torch.set_num_threads(threads + 1)

    both = r"torch\.set_num_threads and torch\.autograd\.grad"
    with (
        pytest.raises(ContractBroken, match=both),
        kept_shared_state("mine", is_ours=False),
    ):
        change()
    with (
        pytest.raises(ContractBroken, match=both) as caught,
        kept_shared_state("mine", is_ours=False),
    ):
        change()
        raise ZeroDivisionError
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    with pytest.raises(ZeroDivisionError), kept_shared_state("mine", is_ours=False):
        raise ZeroDivisionError
    assert torch.autograd.grad is grad
    assert torch.get_num_threads() == threads


def test_random_numbers_are_nobodys() -> None:
    state = SharedState()
    torch.manual_seed(5)
    torch.rand(3)
    assert state.restore() == []


def test_what_pytorch_puts_there_itself_is_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its compiler wraps ``torch.manual_seed``, when some optimizer's first step imports it."""
    state = SharedState()
    monkeypatch.setattr(torch, "manual_seed", torch._dynamo.disable(torch.manual_seed))
    wrapped = torch.manual_seed
    assert state.restore() == []
    assert torch.manual_seed is wrapped
    monkeypatch.setattr(torch, "manual_seed", lambda seed: None)
    assert state.restore() == ["torch.manual_seed"]
