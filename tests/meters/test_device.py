from __future__ import annotations

import json
from dataclasses import asdict

import pytest
import torch

from gr_bench.errors import RequestError
from gr_bench.meters.get_device import get_device


@pytest.mark.parametrize("name", ["gpu", "", "cpu:0", "cuda:x", "cuda:-1", "tpu:0"])
def test_a_name_that_is_no_device_is_refused(name: str) -> None:
    with pytest.raises(RequestError, match="use cpu, cuda or cuda:N"):
        get_device(name)


@pytest.mark.parametrize("name", ["cuda:99", "cuda:4294967296"])
def test_a_device_that_is_not_here_is_refused(name: str) -> None:
    with pytest.raises(RequestError, match=f"device '{name}' is not here"):
        get_device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
def test_cuda_without_a_gpu_is_refused() -> None:
    with pytest.raises(RequestError, match="sees no such GPU; use cpu"):
        get_device("cuda")


def test_what_a_device_tells_fits_into_a_record() -> None:
    cpu = get_device("cpu")
    assert json.loads(json.dumps(cpu.describe()))["name"]
    assert "load" in json.loads(json.dumps(asdict(cpu.state(lambda: None))))


def test_a_reading_covers_the_work_once() -> None:
    calls: list[int] = []
    reading = get_device("cpu").time(lambda: calls.append(1))
    assert calls == [1]
    assert 0 < reading.seconds == reading.elapsed_s - reading.waited_s


def test_peak_growth_is_the_highest_level_not_the_sum() -> None:
    """Float32: 4,000 and 8,000 bytes together, then 8,000 and 2,000."""

    def work() -> None:
        first = torch.empty(1000)
        second = torch.empty(2000)
        del first
        third = torch.empty(500)
        del second, third

    assert get_device("cpu").peak_growth(work) == 12_000


def test_peak_growth_counts_from_the_level_at_the_start() -> None:
    kept = torch.empty(1000)
    assert get_device("cpu").peak_growth(lambda: kept.zero_()) == 0
    assert get_device("cpu").peak_growth(lambda: None) == 0
