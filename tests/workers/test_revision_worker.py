"""The parts of the revision's process that can be looked at without one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gr_bench.registry import build_method
from gr_bench.workers.revision_worker import RevisionWorker, described

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
    assert RevisionWorker(None).is_missing(caught.value) is missing


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
