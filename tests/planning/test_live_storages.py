"""Storages counted while they are alive: by hand, and as an allocator's events have it."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from gr_bench.meters.cpu import CPU
from gr_bench.planning.live_storages import LiveStorages

KIB = 256  # float32 numbers in it


def chain() -> torch.Tensor:
    """Three KiB at once at most: a, its double, and their sum."""
    a = torch.zeros(KIB)
    double = a * 2
    total = a + double
    del a, double
    return total.view(16, 16)


def test_a_storage_counts_from_its_birth_to_its_end() -> None:
    with FakeTensorMode(), LiveStorages() as live:
        kept = chain()
        assert live.peak_bytes == 3 * 1024
        assert live.live_bytes == 1024
        del kept
        assert live.live_bytes == 0
    assert live.peak_bytes == 3 * 1024


def test_a_view_counts_nothing_and_keeps_its_storage_alive() -> None:
    with FakeTensorMode(), LiveStorages() as live:
        whole = torch.zeros(KIB)
        part = whole[:3]
        del whole
        assert live.live_bytes == live.peak_bytes == 1024
        del part
        assert live.live_bytes == 0


def test_storages_from_before_do_not_count_and_neither_does_their_end() -> None:
    with FakeTensorMode():
        before = torch.zeros(KIB)
        with LiveStorages() as live:
            before.mul_(2)
            del before
            assert (live.live_bytes, live.peak_bytes) == (0, 0)


def test_what_autograd_keeps_is_alive_until_the_backward_pass() -> None:
    with FakeTensorMode():
        x = torch.zeros(KIB, requires_grad=True)
        with LiveStorages() as live:
            loss = x.exp().sum()
            assert live.live_bytes == 1024 + 4
            loss.backward()
            del loss
            assert live.live_bytes == 1024  # the gradient


@pytest.mark.parametrize(("nbytes", "counted"), [(1, 512), (512, 512), (513, 1024)])
def test_sizes_are_rounded_up_to_blocks(nbytes: int, counted: int) -> None:
    with FakeTensorMode(), LiveStorages(512) as live:
        kept = torch.zeros(nbytes, dtype=torch.uint8)
        assert live.live_bytes == counted
        del kept


def test_scratch_is_beside_what_is_alive_and_gone_after() -> None:
    def scratch(func: object, args: object) -> int:
        return 5000 if func is torch.ops.aten.mul.Tensor else 0

    with FakeTensorMode(), LiveStorages(1, scratch) as live:
        a = torch.zeros(KIB)
        double = a * 2
        assert live.peak_bytes == 2 * 1024 + 5000
        assert live.live_bytes == 2 * 1024
        del a, double


def test_the_peak_is_the_allocators() -> None:
    """The same work on real tensors, read off the profiler."""

    def work() -> None:
        x = torch.ones(64, 300, requires_grad=True)
        weight = torch.ones(300, 200, requires_grad=True)
        (torch.relu(x @ weight).square().mean() + weight.sum()).backward()

    with FakeTensorMode(), LiveStorages() as live:
        work()
    assert live.peak_bytes == CPU("cpu").peak_growth(work)
