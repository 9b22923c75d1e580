"""The process that steps with a revision's code: what it needs of a revision, and its parts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gr_bench.comparison.side import MissingOnSide, Side, SideProcess
from gr_bench.registry import build_method
from gr_bench.workers.side_worker import described, is_missing

MODULES = {
    "plug_needs": "import not_there",
    "plug_attribute": "import os\nos.nope",
    "plug_empty": "",
    "plug_abstract": "from gr_bench.methods import Method\nclass Here(Method): name = 'here'",
}


@pytest.mark.parametrize(
    ("method", "missing"),
    [
        ("nope", True),
        ("f-gr(other=1)", True),
        ("plug_gone:Here", True),
        ("plug_empty:Here", True),
        ("plug_needs:Here", False),
        ("plug_attribute:Here", False),
        ("plug_abstract:Here", False),
        ("f-gr(gamma=-1)", False),
    ],
)
def test_what_a_revision_has_not_is_missing_and_what_it_cannot_build_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, missing: bool
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for name, text in MODULES.items():
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(ValueError, match=r".") as caught:
        build_method(method)
    assert is_missing(caught.value) is missing


def test_an_error_is_described_with_its_place_in_the_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plug_divides.py").write_text("def f():\n    return 1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    import plug_divides

    with pytest.raises(ZeroDivisionError) as caught:
        plug_divides.f()
    expected = "ZeroDivisionError: division by zero (plug_divides.py, line 2)"
    assert described(caught.value) == expected


OLD = {
    "__init__": "__version__ = '0.0'",
    "errors": "class RequestError(ValueError): pass",
    "registry": """
from types import SimpleNamespace
import torch
class Plain:
    needs_second_derivatives = False
    def __str__(self): return "plain"
    def backward(self, loss_fn, params):
        loss = loss_fn()
        loss.backward()
        return loss.detach()
class Data:
    train = SimpleNamespace(inputs=torch.randn(8, 2), targets=torch.zeros(8, dtype=torch.long))
    input_shape, num_classes = (2,), 3
    def to(self, device, dtype): return self
def build_method(text): return Plain()
def build_model(text, input_shape, num_classes): return torch.nn.Linear(2, num_classes)
def build_dataset(text): return Data()
""",
}
CELL = {
    "spec": "plain",
    "model": "linear",
    "dataset": "zeros",
    "batch_size": 4,
    "device": "cpu",
    "dtype": "float32",
    "threads": 1,
    "compiled": False,
    "variant": "plain",
    "optimizer": "sgd",
}


def test_a_revision_needs_to_have_no_more_than_what_is_documented(tmp_path: Path) -> None:
    """One that is older than the modules that measure steps by the coordinator's."""
    package = tmp_path / "base" / "gr_bench"
    package.mkdir(parents=True)
    for name, text in OLD.items():
        (package / f"{name}.py").write_text(text)
    side = Side("base", "old", package.parent, first=(package.parent,))
    with SideProcess(side, 60.0, 1, None) as process:
        assert process.ask("hello", datasets=["zeros"], calls=[], paths=[])["started_s"] > 0
        assert process.ask("describe")["gr_bench"] == "0.0"
        assert process.ask("prepare", key="it", cell=CELL)["method"] == "plain"
        assert process.ask("time", key="it", steps=2)["elapsed_s"] > 0
        # x W: 4x2 by 2x3; the gradient of W: 3x4 by 4x2
        assert process.ask("count", cell=CELL)["flops"] == 2 * 2 * 4 * 2 * 3
        with pytest.raises(MissingOnSide, match="steps with sgd alone"):
            process.ask("prepare", key="other", cell=CELL | {"optimizer": "adamw"})
