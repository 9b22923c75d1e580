"""A dry run tries plug-ins: each fault is a line, and nothing is measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from processes import Warm

from gr_bench.runs.rehearsal import faults
from gr_bench.runs.suite import Suite, build_suite

TEXT = '''
import math
import sys
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import nn

from gr_bench.methods import SAM, SGD, Method
from gr_bench.workloads.datasets import Part
from gr_bench.workloads.datasets.random import random_images, random_tokens


@dataclass(frozen=True)
class Idle(SGD):
    def backward(self, loss_fn, params):
        return loss_fn().detach()


@dataclass(frozen=True)
class Drifting(SGD):
    def backward(self, loss_fn, params):
        params = list(params)
        loss = super().backward(loss_fn, params)
        with torch.no_grad():
            params[0].mul_(1.0001)
        return loss


@dataclass(frozen=True)
class Attached(SGD):
    def backward(self, loss_fn, params):
        loss = loss_fn()
        loss.backward()
        return loss


@dataclass(frozen=True)
class Twice(SGD):
    def backward(self, loss_fn, params):
        loss_fn()
        return super().backward(loss_fn, params)


@dataclass(frozen=True)
class Leaving(SGD):
    def backward(self, loss_fn, params):
        sys.exit(3)


@dataclass(frozen=True)
class Late(SAM):
    """SAM in every second step, as it says."""

    cycle: ClassVar[int] = 2

    @property
    def gradient_evaluations(self):
        return 1.5

    def backward(self, loss_fn, params):
        self.state["step"] = self.state.get("step", 0) + 1
        method = SGD() if self.state["step"] % 2 else super()
        return method.backward(loss_fn, params)


def net(input_shape, num_classes, extra=0):
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(input_shape), num_classes + extra))


def lazy(input_shape, num_classes):
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(num_classes))


def once(input_shape, num_classes):
    """Fails when it is trained."""
    model = net(input_shape, num_classes)

    def fail_in_training(self, inputs, outputs):
        1 / (not self.training)

    model.register_forward_hook(fail_in_training)
    return model


def exiting(input_shape, num_classes):
    sys.exit(3)


def data(kind=""):
    good = random_images(shape=(3,), num_classes=4, samples=32)
    if kind == "empty":
        return replace(good, test=Part(good.test.inputs[:0], good.test.targets[:0]))
    if kind == "shapes":
        return replace(good, validation=Part(torch.zeros(4, 5), torch.zeros(4).long()))
    if kind == "floats":
        return replace(good, train=Part(good.train.inputs, good.train.targets.float()))
    if kind == "classes":
        return replace(good, num_classes=2)
    return good


def words():
    return random_tokens()
'''
GRID: dict[str, Any] = {
    "methods": ["sgd"],
    "models": ["mlp(depth=2, width=8)"],
    "datasets": ["random(shape=(3,), num_classes=4, samples=32)"],
    "batch_sizes": [8],
}


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "mine.py").write_text(TEXT)
    monkeypatch.chdir(tmp_path)

    def build(**grid: Any) -> Suite:
        return build_suite("test", {"title": "Test", "step_cost": [GRID | grid]})

    return build


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Idle", "Idle left no gradient: backward must put one into every p.grad"),
        ("Drifting", "Drifting left parameters changed"),
        ("Attached", "write return loss.detach()"),
        (
            "Twice",
            "calls the loss function 2 times a step and says 1: write passes: ClassVar[int] = 2",
        ),
        ("Leaving", "SystemExit: 3"),
    ],
)
def test_a_method_that_breaks_its_contract(suite: Any, name: str, words: str) -> None:
    (line,) = faults(suite(methods=["sgd", f"mine.py:{name}"]))
    assert line.startswith("method ")
    assert f"mine.py:{name}: " in line
    assert words in line


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("net(extra=1)", "gives (2, 5) for 2 examples: it must give logits (2, 4)"),
        ("exiting", "SystemExit: 3"),
        ("lazy", "write nn.Linear instead of nn.LazyLinear"),
        ("once", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_model_that_is_none(suite: Any, model: str, words: str) -> None:
    (line,) = faults(suite(models=[f"mine.py:{model}"], methods=["sgd"]))
    assert line.startswith("model ")
    assert words in line


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("empty", "its test part is empty"),
        ("shapes", "inputs of validation are (5,), those of train (3,)"),
        ("floats", "targets of train are torch.float32: write targets.long()"),
        ("classes", "targets of train leave 0 to num_classes - 1 = 1"),
    ],
)
def test_a_data_set_that_is_none(suite: Any, kind: str, words: str) -> None:
    found = list(faults(suite(datasets=[f"mine.py:data(kind={kind!r})"])))
    assert [line for line in found if not line.startswith("dataset ")] == []
    assert words in found[0]


def test_a_batch_that_is_larger_than_the_data(suite: Any) -> None:
    (line,) = faults(suite(datasets=["mine.py:data"], batch_sizes=[8, 64]))
    assert "training examples are fewer than one batch" in line


def test_what_is_right_has_no_fault(suite: Any) -> None:
    both = suite(
        methods=["sgd", "mine.py:Late", "plugged:Remembering"],
        models=["mine.py:net", "mlp(depth=1)"],
        datasets=["mine.py:data", "random(shape=(1, 4, 4), samples=32)"],
        compiled=[False, True],
        dtypes=["float32", "bfloat16"],
    )
    assert list(faults(both)) == []


def test_the_command_prints_the_cells_then_the_faults_and_ends_with_2(
    command: Warm, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(TEXT)
    methods = '["sgd", "mine.py:Idle", "mine.py:Twice", "mine.py:Late"]'
    (tmp_path / "suite.toml").write_text(
        f"""title = "Test"\n[[step_cost]]\nmethods = {methods}
models = ["mlp(depth=1)"]\ndatasets = ["random(shape=(3,), samples=32)"]\nbatch_sizes = [8]\n"""
    )
    ended = command("run", "suite.toml", "--dry-run", cwd=tmp_path)
    assert ended.code == 2
    assert len(ended.out.splitlines()) == 5
    said, *lines = ended.err.splitlines()
    assert said == f"runs code of its own: {tmp_path / 'mine.py'}"
    assert [line.partition("mine.py:")[2].partition(":")[0] for line in lines] == ["Idle", "Twice"]
    right = command("run", "suite.toml", "--dry-run", "--only", "*Late*", cwd=tmp_path)
    assert (right.code, right.err) == (0, f"{said}\n")
    assert not (tmp_path / "runs").exists()
