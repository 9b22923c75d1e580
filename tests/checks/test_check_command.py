"""``gr-bench check``: its lines, its JSON and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from processes import Warm

from gr_bench.checks.outcome import VERDICTS
from gr_bench.checks.rules import RULES

DOCS = Path(__file__).parent.parent.parent / "docs" / "check.md"


def test_a_method_that_is_right(command: Warm) -> None:
    ended = command("check", "f-gr(gamma=0.2)")
    assert ended.code == 0
    *lines, summary = ended.out.splitlines()
    assert [line[16:38].strip() for line in lines] == [rule.name for rule in RULES]
    assert {line[:16].strip() for line in lines} <= {*VERDICTS} - {"finding"}
    assert max(map(len, lines)) <= 80
    assert summary == "f-gr(gamma=0.2, epsilon=0.05): 26 passed, 1 not known"


def test_a_method_that_is_not(command: Warm) -> None:
    ended = command("check", "planted:MovingStatistics")
    assert ended.code == 1
    assert "finding         batch norm" in ended.out
    assert "evaluation uses running statistics" in " ".join(ended.out.split())
    assert "planted.py:" in ended.out
    assert "25 passed, 1 finding, 1 not known" in ended.out
    assert max(map(len, ended.out.splitlines()[:-2])) <= 80


def test_json(command: Warm) -> None:
    ended = command("check", "planted:Halving", "--json")
    assert ended.code == 1
    (method,) = json.loads(ended.out)["methods"]
    assert method["method"] == "Halving(rho=0.05)"
    assert [r["rule"] for r in method["rules"]] == [rule.name for rule in RULES]
    (found,) = [r for r in method["rules"] if r["verdict"] == "finding"]
    assert found["rule"] == "formula"
    assert found["suffers"]
    assert "planted.py:" in found["where"]
    assert {r["suffers"] for r in method["rules"] if r is not found} == {None}


@pytest.mark.slow
def test_every_built_in_method(command: Warm) -> None:
    ended = command("check", "--all")
    assert (ended.code, "finding" in ended.out) == (0, False)


def test_a_model_of_ones_own(command: Warm) -> None:
    ended = command("check", "sam", "--model", "mlp(depth=1, width=8)")
    assert ended.code == 0
    assert "not applicable  batch norm" in ended.out
    assert "not applicable  dropout" in ended.out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "verdict"), [("sam", "pass            "), ("db-gr", "not applicable  ")]
)
def test_under_the_compiler(command: Warm, spec: str, verdict: str) -> None:
    assert f"{verdict}compile" in command("check", spec, "--compile").out


def test_the_documentation_has_every_rule_as_it_is() -> None:
    text = DOCS.read_text()
    for rule in RULES:
        assert f"| `{rule.name}` | {rule.asks} | {rule.suffers} |" in text
    assert text.count("\n| `") == len(RULES) + len(VERDICTS)
