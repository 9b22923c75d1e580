"""A captured step, as far as that can be seen where there is no GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from synthetic import cost
from torch import Tensor, nn

from gr_bench import registry
from gr_bench.errors import Unsupported
from gr_bench.meters import cuda_context
from gr_bench.timing import capture as capture_module
from gr_bench.timing import step as step_module
from gr_bench.timing.capture import capture

GPU = torch.device("cuda:0")


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What ``capture`` asks of ``torch.cuda``; ``fails`` makes a capture raise."""
    asked = SimpleNamespace(fails=False, replays=0)
    stream = SimpleNamespace(wait_stream=lambda other: None)

    @contextmanager
    def graph(_: object) -> Iterator[None]:
        yield
        if asked.fails:
            raise RuntimeError("operation not permitted when stream is capturing")

    def replay() -> None:
        asked.replays += 1

    for name, value in {
        "device": lambda device: nullcontext(),
        "get_rng_state": lambda device: torch.get_rng_state(),
        "Stream": lambda device: stream,
        "current_stream": lambda device: stream,
        "stream": lambda stream: nullcontext(),
        "CUDAGraph": lambda: SimpleNamespace(replay=replay),
        "graph": graph,
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(cuda_context, "_given_up", False)
    return asked


def test_a_capture_leaves_buffers_as_they_were_and_is_replayed(pretended: Any) -> None:
    model = nn.BatchNorm1d(3)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    replay = capture(lambda: model(torch.randn(4, 3)).sum().detach(), model, 1, GPU)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    replay()
    assert replay() is replay()
    assert pretended.replays == 3
    assert not cuda_context.is_broken()


@pytest.mark.usefixtures("pretended")
def test_random_numbers_are_refused_in_several_passes_alone() -> None:
    """And before anything is captured: the process can go on."""
    model, step = nn.Linear(2, 2), lambda: torch.rand(())
    assert isinstance(capture(step, model, 1, GPU)(), Tensor)
    with pytest.raises(Unsupported, match="several passes with dropout"):
        capture(step, model, 2, GPU)
    assert not cuda_context.is_broken()


def test_after_a_capture_that_fails_the_process_is_of_no_use(pretended: Any) -> None:
    pretended.fails = True
    with pytest.raises(RuntimeError, match="stream is capturing"):
        capture(lambda: torch.zeros(()), nn.Linear(2, 2), 1, GPU)
    assert cuda_context.is_broken()


@pytest.mark.parametrize(("method", "passes"), [("sgd", 1), ("f-gr", 2), ("c-gr", 3), ("db-gr", 1)])
def test_double_backpropagation_draws_random_numbers_in_one_pass(
    method: str, passes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[int] = []

    def captured(
        step: Callable[[], Tensor], model: nn.Module, passes: int, device: torch.device
    ) -> Callable[[], Tensor]:
        found.append(passes)
        return step

    monkeypatch.setattr(capture_module, "capture", captured)
    monkeypatch.setattr(step_module, "refuse", lambda *_: None)  # that it is on a CPU
    cell = cost(method, model="mlp(depth=2, width=8)", batch_size=8)
    step_module.build_step(replace(cell, variant="cuda-graph"), registry)
    assert found == [passes]
