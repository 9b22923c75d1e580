"""What a suite's names lead to is looked at before it is called."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from plugin_files import Write

from gr_bench.errors import RequestError
from gr_bench.registry import DATASETS, MODELS, OPTIMIZERS, build_dataset, build_method, build_model
from gr_bench.runs.suite import Suite, build_suite

GRID = {
    "methods": ["sgd"],
    "models": ["mlp(depth=1)"],
    "datasets": ["random(shape=(2,), samples=8)"],
    "batch_sizes": [8],
}


def suite(folder: Path, *, no_plugins: bool = False, **grid: object) -> Suite:
    data = {"title": "test", "step_cost": [GRID | grid]}
    return build_suite("test", data, folder=folder, no_plugins=no_plugins)


@pytest.mark.parametrize("kind", ["datasets", "models", "methods", "optimizers"])
@pytest.mark.parametrize("where", ["os:remove", "mine.py:os.remove", "mine.py:gone"])
def test_a_function_of_pythons_is_refused_and_not_called(
    write: Write, tmp_path: Path, kind: str, where: str
) -> None:
    write("mine.py", "import os\nfrom functools import partial\ngone = partial(os.remove)")
    (victim := tmp_path / "victim").touch()
    with pytest.raises(RequestError, match="installed code") as caught:
        suite(tmp_path, **{kind: [f"{where}(path='{victim}')"]})
    assert "\n" not in str(caught.value)
    assert victim.exists()


@pytest.mark.parametrize(
    "where",
    [
        "builtins:eval",
        "builtins:print",
        "subprocess:Popen",
        "pathlib:Path.unlink",
        "os:environ.clear",
        "builtins:str.upper",
        "torch:load",
        "torch.hub:load",
        "torch:add",
        "mine.py:caller",
    ],
)
def test_installed_code_that_promises_nothing_is_refused(write: Write, where: str) -> None:
    write("mine.py", "from operator import methodcaller\ncaller = methodcaller('x')")
    for build in (
        lambda: build_method(where),
        lambda: build_dataset(where),
        lambda: build_model(where, (2,), 2),
        lambda: OPTIMIZERS.admit(where),
    ):
        with pytest.raises(RequestError, match=r"installed code|is not one"):
            build()


def test_what_promises_a_thing_of_the_kind_is_taken(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "site-packages"
    write(
        "site-packages/bought.py",
        "from __future__ import annotations\n"
        "from typing import TYPE_CHECKING\n"
        "from torch import nn\nimport torch\n"
        "if TYPE_CHECKING:\n    from gr_bench.workloads.datasets import Dataset\n"
        "class Net(nn.Linear):\n"
        "    def __init__(self, input_shape, num_classes): super().__init__(2, 2)\n"
        "def net(input_shape, num_classes) -> nn.Module: return Net(input_shape, num_classes)\n"
        "def other(input_shape, num_classes) -> Net: return Net(input_shape, num_classes)\n"
        "def bare(input_shape, num_classes): return Net(input_shape, num_classes)\n"
        "def data() -> Dataset: ...\n",
    )
    monkeypatch.setattr(sys, "path", [*sys.path, str(installed)])
    for name in ("Net", "net", "other"):
        MODELS.admit(f"bought:{name}")
    DATASETS.admit("bought:data")
    OPTIMIZERS.admit("torch.optim:SGD")
    with pytest.raises(RequestError, match="function -> Module"):
        MODELS.admit("bought:bare")
    write("mine.py", (installed / "bought.py").read_text())
    MODELS.admit("mine.py:bare")


def test_code_of_a_suites_own_is_refused_before_it_is_imported(
    write: Write, tmp_path: Path
) -> None:
    text = "from pathlib import Path\nPath('imported').touch()\ndef mine(): ..."
    write("mine.py", text)
    write("ownmodule.py", text)
    for where in ("mine.py:mine", "ownmodule:mine"):
        with pytest.raises(RequestError, match="--no-plugins refuses"):
            suite(tmp_path, no_plugins=True, datasets=[where])
    assert not os.path.exists("imported")
    assert suite(tmp_path, no_plugins=True, optimizers=["torch.optim:RMSprop"]).plugins


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        ({"models": ["mlp(depth='x')"]}, "depth must be a whole number, not 'x'"),
        ({"models": ["mlp(depth=1.5)"]}, "depth must be a whole number, not 1.5"),
        ({"models": ["mlp(dropout='x')"]}, "dropout must be a number, not 'x'"),
        ({"datasets": ["random(shape='x')"]}, "shape must be whole numbers in brackets"),
        ({"datasets": ["random(shape=(2, 'x'))"]}, "shape must be whole numbers in brackets"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(
    tmp_path: Path, grid: dict[str, list[str]], words: str
) -> None:
    with pytest.raises(RequestError, match=words) as caught:
        suite(tmp_path, **grid)
    assert "\n" not in str(caught.value)
