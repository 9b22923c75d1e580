"""The histories whose culprit is known."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.bisections import SINES, history  # noqa: E402
from gr_bench.meters.counters import count_flops, count_operators  # noqa: E402
from gr_bench.meters.get_device import get_device  # noqa: E402


def prepare(repository: Path, commit: int):
    shown = ("git", "-C", str(repository), "show", f"{commit}:bench.py")
    names: dict = {}
    exec(subprocess.run(shown, check=True, capture_output=True, text=True).stdout, names)
    return names["prepare"]


def peak(prepare) -> int:
    def life() -> None:
        step = prepare()
        for _ in range(3):
            step()

    return get_device("cpu").peak_growth(life)


def test_only_the_culprit_changes_what_is_done_and_no_counter_that_is_followed() -> None:
    with history(3, 2) as repository:
        before, after = prepare(repository, 1), prepare(repository, 2)
        sines = [
            count_operators(prepare(repository, number)()).get("aten.sin.default", 0)
            for number in range(4)
        ]
    assert sines == [0, 0, SINES, SINES]
    assert count_flops(before()) == count_flops(after())
    assert peak(before) == peak(after)


@pytest.mark.parametrize("culprit", [None, 1])
def test_every_commit_has_a_tag_and_a_text_of_its_own(culprit: int | None) -> None:
    with history(2, culprit) as repository:
        shown = ("git", "-C", str(repository), "rev-parse", "0:", "1:", "2:")
        trees = subprocess.run(shown, check=True, capture_output=True, text=True).stdout.split()
    assert len(set(trees)) == 3
