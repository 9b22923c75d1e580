"""The step times under data parallel: what is stepped, who waits for whom, and the ratios."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from gr_bench.meters.get_device import get_device

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks import data_parallel, data_parallel_worker  # noqa: E402
from benchmarks.data_parallel_worker import build, names, read, slowest  # noqa: E402

PROBLEM = ("mlp(depth=2, width=8)", "digits", 4)


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[None]:
    """A group of this process alone."""
    distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1
    )
    yield
    distributed.destroy_process_group()


def lines(factors: dict[str, float]) -> list[dict[str, Any]]:
    """Three replicates of four rounds; a load slows a whole round, and a replicate slows SGD."""
    loads = ([1, 1, 5, 1], [2, 2, 3, 2], [1, 9, 1, 1])
    sgd = (0.9, 1.0, 1 / 0.9)
    return [
        {
            "problems": [
                {
                    "model": "mlp",
                    "dataset": "digits",
                    "batch_size": 8,
                    "seconds": {
                        name: [
                            1e-3 * load * factor * (slow if name == data_parallel.BASELINE else 1)
                            for load in own
                        ]
                        for name, factor in factors.items()
                    },
                }
            ]
        }
        for own, slow in zip(loads, sgd, strict=True)
    ]


def test_ratios_are_paired_by_round_and_their_spread_is_that_of_replicates() -> None:
    factors = {name: 2.0 + i for i, name in enumerate(names())}
    factors |= {data_parallel.BASELINE: 1.0, "sgd control": 1.0, "sam alone": 4.0}
    factors["sam per-worker"] = 6.0
    (problem,) = data_parallel.summary(lines(factors))
    rows = {(row["spec"], row["mode"]): row for row in problem["rows"]}
    assert {f"{spec} {mode}" for spec, mode in rows} == {*names()} - {"sgd control"}
    row = rows["sam", "per-worker"]
    assert row["over_sgd"]["center"] == pytest.approx(6)
    assert row["over_sgd"]["low"] < 0.9 * 6
    assert row["over_sgd"]["high"] > 6 / 0.9
    assert row["over_alone"] == pytest.approx({"center": 1.5, "low": 1.5, "high": 1.5})
    assert rows["sam", "alone"]["over_alone"] is None
    assert rows["sgd", "synchronised"]["over_sgd"]["center"] == pytest.approx(1)
    assert row["time_ms"] == pytest.approx(6)  # the median replicate's median round
    assert "| sam | per-worker | 6.0 | 6.000 [" in data_parallel.table(problem)


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize(
    ("name", "reduced"),
    [
        ("sgd synchronised", [True]),
        ("sam synchronised", [True, True]),
        ("sam per-worker", [False, True]),
        ("c-gr per-worker", [False, False, True]),
        ("db-gr per-worker", [True]),
        ("sam alone", None),
    ],
)
def test_the_passes_of_a_step_that_are_reduced(name: str, reduced: list[bool] | None) -> None:
    step = build(name, PROBLEM, "cpu")
    found = []
    if reduced is not None:
        step.wrapped.register_forward_pre_hook(
            lambda module, _: found.append(module.require_backward_grad_sync)
        )
    step()
    assert found == (reduced or [])


@pytest.mark.usefixtures("alone")
def test_every_name_is_a_step_with_the_methods_gradient() -> None:
    gradients: dict[str, Any] = {}
    for name in names():
        step = build(name, PROBLEM, "cpu")
        step()
        timed = getattr(step, "step", step)
        assert isinstance(timed.training.forward, DistributedDataParallel) == (step is not timed)
        assert isinstance(timed.training.model, nn.Module)
        own = [p.grad for p in timed.training.model.parameters()]
        first = gradients.setdefault(name.split()[0], own)
        assert all(map(torch.equal, own, first)), name


@pytest.mark.usefixtures("alone")
def test_every_step_is_read_in_every_round() -> None:
    calls: list[str] = []
    steps = {name: partial(calls.append, name) for name in ("a", "b", "c")}
    found = read(steps, get_device("cpu"), rounds=4, seed=1)
    assert {name: len(own) for name, own in found.items()} == dict.fromkeys(steps, 4)
    assert all(calls.count(name) > 4 + data_parallel_worker.WARM_UP_STEPS for name in steps)
    assert slowest(found) == found  # of one process


@pytest.mark.usefixtures("alone")
def test_no_process_decides_by_itself_how_often_to_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a sample on a GPU does, which queues steps again and again until they are queued in time:
    those of other processes would wait for a reduction that never comes.
    """
    device, calls = get_device("cpu"), []

    def sample(*_: object) -> None:
        raise AssertionError("a sample of this process's own")

    monkeypatch.setattr(device, "sample", sample)
    monkeypatch.setattr(data_parallel_worker, "steps_in_a_sample", lambda *_: 3)
    read({"a": partial(calls.append, "a")}, device, rounds=4, seed=1)
    assert len(calls) == data_parallel_worker.WARM_UP_STEPS + 1 + 4 * 3


GATHER = """
import sys
from torch import distributed
from benchmarks.data_parallel_worker import slowest

rank, folder = int(sys.argv[1]), sys.argv[2]
distributed.init_process_group(
    "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
)
print(slowest({"a": [1.0 + rank, 5.0 - rank], "b": [float(rank), 0.0]}))
"""


@pytest.mark.slow  # two processes that import PyTorch
def test_a_steps_time_is_that_of_the_slowest_process(tmp_path: Path) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", GATHER, str(rank), str(tmp_path)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    assert [process.communicate()[0] for process in started] == [
        "{'a': [2.0, 5.0], 'b': [1.0, 0.0]}\n"
    ] * 2


@pytest.mark.slow
def test_torchrun_starts_the_processes_and_replicates_add_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    one_second = {name: [1.0] for name in names()}
    problems = [
        {"model": model, "dataset": dataset, "batch_size": size, "seconds": one_second}
        for model, dataset, size in data_parallel_worker.PROBLEMS
    ]
    earlier = {"processes": 2, "backend": "gloo", "problems": problems}
    (tmp_path / "replicates.jsonl").write_text(json.dumps(earlier) + "\n")
    arguments = ["data_parallel", str(tmp_path), "--replicates", "1", "--rounds", "1"]
    monkeypatch.setattr(sys, "argv", arguments)
    data_parallel.main()
    found = json.loads((tmp_path / "data_parallel.json").read_text())
    assert found["processes"] == 2
    for problem in found["problems"]:
        assert problem["replicates"] == 2
        assert all(row["time_ms"] > 0 for row in problem["rows"])
