"""The parts of the revision's process that can be looked at without one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from gr_bench.comparison.worker import Clock, Operators, Worker, described

from gr_bench.registry import build_method


def test_waiting_for_a_processor_is_not_counted() -> None:
    """Beside a busy loop on the same processor, what is left is the time on it."""
    allowed = os.sched_getaffinity(0)
    one = {min(allowed)}
    os.sched_setaffinity(0, one)
    loop = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    clock = Clock()
    try:
        time.sleep(0.2)  # until it spins
        begin, waited_before = clock.now()
        used = time.thread_time()
        while time.thread_time() - used < 0.3:
            pass
        end, waited = clock.now()
    finally:
        loop.kill()
        loop.wait()
        os.sched_setaffinity(0, allowed)
    waited -= waited_before
    assert waited > 0.05
    assert end - begin - waited == pytest.approx(0.3, rel=0.05)


def test_sleeping_is_counted() -> None:
    """It is the step's own doing."""
    clock = Clock()
    begin, waited_before = clock.now()
    time.sleep(0.05)
    end, waited = clock.now()
    assert end - begin - (waited - waited_before) >= 0.045


def test_operators_are_counted_by_name_backward_included() -> None:
    a = torch.ones(3, 3, requires_grad=True)
    with Operators() as operators:
        (a @ a).sum().backward()
    assert operators.calls["aten.mm.default"] == 3
    assert operators.calls["aten.sum.default"] == 1


MODULES = {
    "plug_needs": "import not_there",
    "plug_attribute": "import os\nos.nope",
    "plug_empty": "",
    "plug_abstract": "from gr_bench.methods import Method\nclass Here(Method): name = 'here'",
}


@pytest.mark.parametrize(
    ("method", "lacks"),
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
def test_lacking_is_not_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, lacks: bool
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for name, text in MODULES.items():
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(ValueError, match=r".") as caught:
        build_method(method)
    assert Worker(None).lacks(caught.value) is lacks


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
