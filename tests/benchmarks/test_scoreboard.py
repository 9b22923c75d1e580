"""Known defects of known implementations are found, and the page says what was found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchmarks.sam_family import ENTRIES
from benchmarks.scoreboard import (
    _trained_specs,
    _why_not,
    _without_consequences,
    lines,
    spec_of,
)
from gr_bench import registry
from gr_bench.checks.outcome import Result
from gr_bench.checks.rules import RULES, ask
from gr_bench.checks.subject import Subject

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def found(entry: str) -> dict[str, Result]:
    """The findings on an entry by rule."""
    results = [ask(rule, Subject(spec_of(entry))) for rule in RULES]
    told = _without_consequences(results)
    return {r.rule: r for r in told if r.verdict == "finding"}


def test_a_textbook_loop_moves_batch_norm_twice() -> None:
    rules = found("textbook SAM")
    assert set(rules) == {"batch norm", "dropout", "exception", "no gradient", "autocast around"}
    assert "moved 2 times" in rules["batch norm"].words


def test_with_batch_norm_quiet_it_does_not() -> None:
    assert "batch norm" not in found("textbook SAM, quiet batch norm")


def test_a_loop_that_subtracts_is_off_by_a_rounding() -> None:
    assert "by rounding" in found("textbook SAM, subtracting")["parameters"].words


def test_bsam_leaves_weights_perturbed() -> None:
    pytest.importorskip("pytorch_optimizer")
    rules = found("pytorch_optimizer.BSAM")
    assert "not by rounding" in rules["parameters"].words
    assert "autocast" not in rules  # it follows from that
    assert (rules["parameters"].where or "").count("pytorch_optimizer")


def test_looksam_takes_two_gradients_in_every_step() -> None:
    pytest.importorskip("pytorch_optimizer")
    words = found("pytorch_optimizer.LookSAM")["gradient evaluations"].words
    assert words == "2.00 a step, 2 forward passes; declared 1.1"


def test_sam_of_pytorch_optimizer_is_sam() -> None:
    pytest.importorskip("pytorch_optimizer")
    assert not {"formula", "acts", "state", "parameters"} & set(found("pytorch_optimizer.SAM"))


def test_the_page_is_that_of_the_results() -> None:
    data = json.loads((ROOT / "results/scoreboard/scoreboard.json").read_text())
    assert set(data["checked"]) == set(ENTRIES)
    text = "\n".join(lines(data)).replace("(RULES)", "(check.md)")
    assert (ROOT / "docs/scoreboard.md").read_text() == text


def test_accuracy_at_equal_time_is_told_and_so_is_its_absence() -> None:
    data = json.loads((ROOT / "results/scoreboard/scoreboard.json").read_text())
    row = {"difference": 0.0123, "low": -0.001, "high": 0.0256, "seeds": 3, "verdict": "undecided"}
    data["trained"] = {
        "started": "2026-11-27T10:00:00",
        "model": "mlp",
        "dataset": "digits",
        "batch_size": 8,
        "epochs": 2,
        "learning_rate": 0.5,
        "device": {"name": "a processor", "capability": "AVX2"},
        "rows": {"textbook SAM": row, "gr-bench sam": row | {"difference": -0.02}},
        "failed": {"textbook ASAM": "ValueError: no"},
    }
    text = "\n".join(lines(data))
    (own,) = (line for line in text.splitlines() if line.startswith("| textbook SAM |"))
    assert own.split(" | ")[4] == "+1.23 [-0.10, +2.56]"
    (other,) = (line for line in text.splitlines() if line.startswith("| textbook ASAM |"))
    assert other.split(" | ")[4] == "not trained"
    assert "-2.00 [-0.10, +2.56]" in text
    assert "textbook ASAM was not trained: `ValueError: no`." in text
    assert "at a learning rate of 0.5" in text
    assert "2 undecided" in text


def test_the_reason_for_no_comparison_is_told() -> None:
    assert _why_not(["ValueError: no\nmore"], ["failed"]) == "ValueError: no"
    assert _why_not([], []) == "the run was not finished"
    assert _why_not([], ["diverged"] * 2) == "no training came to its end: 2 diverged"


def test_entries_are_found_by_their_specs_in_tables() -> None:
    assert registry.METHODS.admit(spec_of("textbook SAM").partition("(")[0]) == "implementation"
    for entry, spec in _trained_specs().items():
        if entry in ENTRIES:
            assert registry.spell_method(spec_of(entry)) == spec
