"""Every planted defect is named by its rule and by no other; what is right has no finding."""

from __future__ import annotations

import linecache
from collections.abc import Iterator

import planted
import pytest
import torch

from gr_bench import registry
from gr_bench.checks.check import Checker
from gr_bench.checks.outcome import Result
from gr_bench.checks.rules import RULES, ask
from gr_bench.checks.subject import Subject
from gr_bench.methods import Method


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As in the worker; these nets are too small for two."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def judged(spec: str, *, compiled: bool = False) -> list[Result]:
    return [ask(rule, Subject(spec, compiled=compiled)) for rule in RULES]


def found(results: list[Result]) -> list[str]:
    return [result.rule for result in results if result.verdict == "finding"]


def test_nothing_is_found_on_a_plug_in_that_is_right() -> None:
    results = judged("planted:Right")
    assert found(results) == []
    assert {r.rule for r in results if r.verdict != "pass"} == {"compile"}


def test_a_step_whose_only_pass_is_elsewhere_has_the_loss_there() -> None:
    results = judged("planted:Elsewhere")
    assert found(results) == []
    others = {r.rule: r.verdict for r in results if r.verdict == "not applicable"}
    assert set(others) == {"loss", "exception"}


@pytest.mark.parametrize("spec", registry.METHODS.built_in)
def test_nothing_is_found_on_a_built_in_method(spec: str) -> None:
    assert found(judged(spec)) == []


@pytest.mark.parametrize(
    ("cls", "rule"), planted.DEFECTS.items(), ids=lambda v: getattr(v, "__name__", v)
)
def test_a_defect_is_named_by_its_rule_alone(cls: type[Method], rule: str) -> None:
    results = judged(f"planted:{cls.__name__}", compiled=rule == "compile")
    assert found(results) == [rule]
    (result,) = [r for r in results if r.verdict == "finding"]
    assert result.suffers
    assert result.where is not None
    assert "planted.py:" in result.where


def test_every_rule_but_that_of_the_step_has_a_defect() -> None:
    assert {rule.name for rule in RULES} - {*planted.DEFECTS.values()} == {"step"}


def line(result: Result) -> str:
    assert result.where is not None
    file, _, number = result.where.rpartition(":")
    return linecache.getline(file, int(number))


def test_an_exception_in_a_step_is_named_with_its_line_and_nothing_more_is_asked() -> None:
    with Checker() as checker:
        first, *others = checker.check("planted:Raising")
    assert first.verdict == "finding"
    assert "no such kernel" in first.words
    assert "the line that is to be named" in line(first)
    assert {other.verdict for other in others} == {"not known"}


@pytest.mark.parametrize(
    ("spec", "words"), [("planted:Hanging", "did not return"), ("planted:Dying", "SIGABRT")]
)
def test_a_method_that_does_not_come_back_is_named_with_its_line(spec: str, words: str) -> None:
    with Checker(timeout_s=5.0) as checker:
        results = list(checker.check(spec, ["no gradient", "loss"]))
    assert [r.verdict for r in results] == ["finding", "pass"]
    assert words in results[0].words
    assert ("time.sleep" if "Hanging" in spec else "os.abort") in line(results[0])


@pytest.mark.parametrize(
    "spec", ["gsam", "friendly-sam", "looksam", "looksam(k=3)", "momentum-sam", "single-step-sam"]
)
def test_formulas_with_memory_are_those_of_the_methods(spec: str) -> None:
    (own,) = [rule for rule in RULES if rule.name == "formula"]
    assert ask(own, Subject(spec)).verdict == "pass"


@pytest.mark.parametrize(
    ("spec", "step"), [("planted:Resting", "step 3: "), ("planted:Ahead", "step 2: ")]
)
def test_an_error_in_a_later_step_is_found_there(spec: str, step: str) -> None:
    (own,) = [rule for rule in RULES if rule.name == "formula"]
    result = ask(own, Subject(spec))
    assert result.verdict == "finding"
    assert result.words.startswith(step)
