"""Plug-ins by where they stand, and the names that cells and tables have for them."""

from __future__ import annotations

import sys
from pathlib import Path

import plugged
import pytest
from plugin_files import METHOD, Write

from gr_bench import registry
from gr_bench.errors import RequestError
from gr_bench.plugins.place import PlugIn, beside, read_stamp, renamed, stamp
from gr_bench.registry import DATASETS, METHODS, MODELS


def test_a_file_is_found_from_here_beside_the_suite_and_by_its_whole_path(write: Write) -> None:
    here, there = write("mine.py"), write("suites/other.py")
    assert registry.spell_method("mine.py:Mine(scale=2)") == "Mine(scale=2)"
    assert registry.spell_method(f"{here}:Mine") == "Mine(scale=1)"
    with pytest.raises(RequestError, match=r"there is no file other.py in"):
        registry.spell_method("other.py:Mine")
    with beside(there.parent):
        assert registry.spell_method("other.py:Mine") == "Mine(scale=1)"


def test_the_name_then_finds_the_thing_from_wherever(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("mine.py")
    spelled = registry.spell_method("mine.py:Mine(scale=3)")
    monkeypatch.chdir("/")
    assert registry.build_method(spelled).parameters == {"scale": 3.0}
    assert METHODS.placed(spelled).endswith("/mine.py:Mine(scale=3)")
    assert METHODS.placed("sam(rho=0.1)") == "sam(rho=0.1)"


def test_two_files_of_one_name_do_not_meet(write: Write) -> None:
    write("a/mine.py", METHOD.replace("1.0", "10.0"))
    write("b/mine.py", METHOD.replace("1.0", "20.0").replace("class Mine", "class Other"))
    assert registry.spell_method("a/mine.py:Mine") == "Mine(scale=10)"
    assert registry.spell_method("b/mine.py:Other") == "Other(scale=20)"
    assert "mine" not in sys.modules


def test_a_file_runs_once_a_process(write: Write) -> None:
    write("once.py", METHOD + "\nopen('runs', 'a').write('x')\n")
    for scale in range(3):
        registry.spell_method(f"once.py:Mine(scale={scale})")
        registry.build_method("once.py:Mine")
    assert Path("runs").read_text() == "x"


def test_a_file_may_import_what_stands_beside_it(write: Write) -> None:
    write("lib/beside_it.py", "SCALE = 7.0")
    write("lib/mine.py", "from beside_it import SCALE\n" + METHOD.replace("1.0", "SCALE"))
    assert registry.spell_method("lib/mine.py:Mine") == "Mine(scale=7)"


def test_functions_make_methods_models_and_data_sets(write: Write) -> None:
    write(
        "all.py",
        METHOD
        + "from torch import nn\n"
        + "from gr_bench.workloads.datasets.random import random_images\n"
        + "def twice(scale: float = 1.0):\n    return Mine(scale=2 * scale)\n"
        + "def net(input_shape, num_classes, width=4):\n"
        + "    inner = nn.Linear(*input_shape, width)\n"
        + "    return nn.Sequential(inner, nn.Linear(width, num_classes))\n"
        + "def data(size=5):\n    return random_images(shape=(3,), samples=size)\n",
    )
    assert registry.spell_method("all.py:twice(scale=2)") == "twice(scale=2)"
    assert registry.build_method("twice(scale=2)").parameters == {"scale": 4.0}
    assert MODELS.admit("all.py:net") == "net"
    assert registry.build_model("net(width=5)", (3,), 2)[0].out_features == 5
    assert DATASETS.admit("all.py:data") == "data"
    assert len(registry.build_dataset("data(size=6)").train) == 6


def test_a_method_goes_by_its_own_name_or_its_class_s_and_not_by_that_of_its_base() -> None:
    assert METHODS.admit("plugged:Plain") == "plain"
    assert METHODS.admit("plugged:Counting") == "Counting"
    assert plugged.Counting.name == "Counting"
    assert str(plugged.Counting(at=2)) == "Counting(at=2)"


def test_a_name_that_is_taken_is_refused(write: Write) -> None:
    write("mine.py", METHOD.replace('"""SGD', 'name: ClassVar[str] = "sam"\n    """SGD'))
    with pytest.raises(RequestError, match="goes by the name 'sam', which is taken: write name"):
        registry.spell_method("mine.py:Mine")


def test_what_is_built_in_keeps_its_name_wherever_it_is_found() -> None:
    assert registry.spell_method("gr_bench.methods.two_point:SAM") == "sam(rho=0.05)"


def test_two_plug_ins_of_a_suite_may_not_share_a_name(write: Write) -> None:
    write("a.py")
    write("b.py", METHOD + "# another\n")
    with beside(None), pytest.raises(RequestError, match=r"a.py:Mine' and .*b.py:Mine' both go by"):
        registry.spell_method("a.py:Mine")
        registry.spell_method("a.py:Mine(scale=2)")
        registry.spell_method("b.py:Mine")
    with beside(None) as near:  # another suite
        registry.spell_method("b.py:Mine")
    assert [plugin.where for plugin in near.found.values()] == [f"{Path.cwd()}/b.py:Mine"]


def test_a_name_of_another_suite_is_not_known(write: Write) -> None:
    write("mine.py")
    with beside(None):
        registry.spell_method("mine.py:Mine")
        registry.spell_method("Mine(scale=2)")
    with beside(None), pytest.raises(RequestError, match="no method 'Mine'"):
        registry.spell_method("Mine")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("raise SystemExit(3)", "it ends the program .*__main__"),
        ("import nowhere_to_be_found", "No module named 'nowhere_to_be_found'"),
        ("def broken(:", "invalid syntax"),
        (METHOD.replace("(frozen=True)", ""), r"write @dataclass\(frozen=True\)"),
        ("Other = 1", "there is no Mine in it"),
    ],
)
def test_a_file_that_cannot_be_imported_is_a_request_error(
    write: Write, text: str, words: str
) -> None:
    write("mine.py", text)
    for _ in range(2):  # what is half made is not found the second time
        with pytest.raises(RequestError, match=f"mine.py:Mine' cannot be imported: .*{words}"):
            registry.spell_method("mine.py:Mine")


def test_a_plug_in_of_another_process_is_found_and_held_to_its_source(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("mine.py")
    registry.spell_method("mine.py:Mine")
    plugins = registry.admitted()
    monkeypatch.setattr(registry, "_LOADED", {})
    METHODS.admitted.clear()
    registry.adopt(plugins)
    assert registry.build_method("Mine(scale=2)").parameters == {"scale": 2.0}
    monkeypatch.setattr(registry, "_LOADED", {})
    path.write_text(METHOD + "\n")
    with pytest.raises(RequestError, match=r"mine.py:Mine has changed while the run was"):
        registry.build_method("Mine")


def test_a_run_goes_on_with_what_it_has_imported(write: Write) -> None:
    path = write("mine.py")
    spelled = registry.spell_method("mine.py:Mine")
    path.write_text("nonsense(")
    assert registry.build_method(spelled).parameters == {"scale": 1.0}


def test_a_changed_file_is_another_thing_the_next_time(write: Write) -> None:
    path = write("mine.py")
    registry.spell_method("mine.py:Mine")
    before = METHODS.source("Mine")
    path.write_text(METHOD.replace("1.0", "5.0"))
    assert registry.spell_method("mine.py:Mine") == "Mine(scale=5)"
    assert METHODS.source("Mine") != before


def test_a_changed_module_cannot_be_imported_a_second_time(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("a_module_that_changes.py")
    monkeypatch.syspath_prepend(path.parent)
    registry.spell_method("a_module_that_changes:Mine")
    path.write_text(METHOD.replace("1.0", "5.0"))
    with pytest.raises(RequestError, match="changed since it was imported here: start Python anew"):
        registry.spell_method("a_module_that_changes:Mine")


@pytest.mark.parametrize("name", ["Mine", "my-method.2", "a:b", "a@b"])
def test_a_stamp_reads_back(name: str) -> None:
    plugin = PlugIn("method", name, "where", "0123456789ab")
    assert read_stamp(stamp(plugin)) == (("method", name), "0123456789ab")


def test_a_suite_is_spelled_by_names_or_by_places() -> None:
    plain = {"only": None, "step_cost": [{"methods": ["sgd", "M(a=1)"], "models": ["M"], "n": 1}]}
    there = renamed(plain, {("method", "M"): "/x.py:M"})
    assert there["step_cost"] == [{"methods": ["sgd", "/x.py:M(a=1)"], "models": ["M"], "n": 1}]
    assert renamed(there, {("method", "/x.py:M"): "M"}) == plain
    assert renamed({"baseline": "M"}, {("method", "M"): "x:M"}) == {"baseline": "x:M"}
