"""Every way of waiting for the device is noted; what waits for nothing is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gr_bench.meters.host_reads import HostReads

WAITING: dict[str, Callable[[Tensor], object]] = {
    "item": Tensor.item,
    "bool": bool,
    "float": float,
    "mask": lambda t: t.view(1)[t.view(1) > 0],
    "mask of one": lambda t: t[t > 0],
    "put by mask": lambda t: t.view(1).index_put((t.view(1) > 0,), torch.zeros(1)),
    "alpha": lambda t: torch.add(t, t, alpha=t),
    "cpu": Tensor.cpu,
    "to cpu": lambda t: t.to("cpu"),
    "device=cpu": lambda t: t.to(device="cpu"),
    "tolist": Tensor.tolist,
    "numpy": Tensor.numpy,
    "array": lambda t: t.__array__(),
}

AT_WORK: dict[str, Callable[[Tensor], object]] = {
    "arithmetic": lambda t: (t + 1).sqrt().sum(),
    "to another dtype": lambda t: t.to(torch.float64),
    "to another tensor": lambda t: t.to(torch.ones(())),
    "to its device": lambda t: t.to(t.device),
    "index": lambda t: t.view(1)[torch.tensor([0])],
    "where": lambda t: torch.where(t > 0, t, 0.0),
    "shape": lambda t: (t.shape, t.ndim, t.numel()),
}


@pytest.mark.parametrize("name", WAITING)
def test_a_read_is_noted_with_its_place(name: str) -> None:
    with HostReads(lambda: "here") as reads:
        WAITING[name](torch.ones(()))
    assert reads.found
    assert reads.places == ["here"] * len(reads.found)


@pytest.mark.parametrize("name", AT_WORK)
def test_other_work_is_not(name: str) -> None:
    with HostReads() as reads:
        AT_WORK[name](torch.ones(()))
    assert reads.found == []


def test_nothing_is_noted_outside() -> None:
    with HostReads() as reads:
        pass
    torch.ones(()).item()
    assert reads.found == []
