"""The direction: by the formula that is claimed, and another one than SGD's."""

from __future__ import annotations

import torch
from torch import nn

from gr_bench.checks import places
from gr_bench.checks.formulas import FORMULAS, WITH_MEMORY, Memory, Numbers, Objective, Point
from gr_bench.checks.outcome import Outcome, Rule, finding, not_applicable, not_known, passed
from gr_bench.checks.subject import (
    IMAGES,
    MOST_STEPS,
    PLAIN,
    SEED,
    Problem,
    Subject,
    image_problem,
    problem_of,
    relative_error,
)
from gr_bench.methods import METHODS, Method

ROUNDING = 1e-4
"""Relative error, in float64, that a small constant in a norm's denominator explains."""

INERT = 1e-12
"""A direction that differs from g by less, in float64, differs by rounding."""

LONG = 200
"""Steps in which a method must have done something; flooding waits for a small loss."""


def formula(subject: Subject) -> Outcome:
    """The direction equals the formula, as computed by a straight-line program in float64.

    One with state is asked in several steps, a whole cycle and one more if it has cycles.

    Of built-in methods the formula is known; any other names it by ``family = "sam"``.
    """
    for problem in (image_problem(PLAIN, torch.float64), _smooth()):
        method = subject.method(problem)
        family = _family(method)
        if family not in {*FORMULAS, *WITH_MEMORY}:
            return not_known("no family is declared" if family is None else f"{family} is not here")
        memory: Memory = {}
        steps = 1 if family in FORMULAS else min(max(3, method.cycle + 1), MOST_STEPS)
        for number in range(1, steps + 1):
            try:
                expected = _expected(family, Objective(problem), method.parameters, memory)
            except KeyError as error:
                return not_known(f"it has no number {error} of {family}")
            problem.backward(method)
            error_ = relative_error(
                problem.direction(), torch.cat([d.flatten() for d in expected.values()])
            )
            if not error_ <= ROUNDING:
                words = f"relative error {error_:.1e} against {family} in float64"
                where = f"step {number}: " if steps > 1 else ""
                return finding(where + words, places.of_method(method))
            problem.advance()
    return passed(f"that of {family}, in float64")


def _expected(family: str, f: Objective, numbers: Numbers, memory: Memory) -> Point:
    """The direction by the family's formula."""
    if family in FORMULAS:
        return FORMULAS[family](f, numbers)
    return WITH_MEMORY[family](f, numbers, memory)


def _family(method: Method) -> str | None:
    """The name under which its formula is known; None if it claims none."""
    if METHODS.get(method.name) is type(method):
        return method.name
    declared: str | None = getattr(method, "family", None)
    return declared


def _smooth() -> Problem:
    """A convolution with batch norm, smooth, in float64."""
    torch.manual_seed(SEED)
    model = nn.Sequential(
        nn.Conv2d(IMAGES[0], 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.SiLU(),
        nn.Flatten(),
        nn.Linear(4 * IMAGES[1] * IMAGES[2], 10),
    )
    return problem_of(model.double())


def acts(subject: Subject) -> Outcome:
    """The direction differs from SGD's in some step of a training that fits its mini-batch."""
    problem = image_problem(PLAIN, torch.float64)
    method = subject.method(problem, LONG)
    if method.gradient_evaluations <= 1 and not method.parameters:
        return not_applicable("it is SGD, and says no more")
    if method.penalty is not None and getattr(method, method.penalty) == 0:
        return not_applicable(f"with {method.penalty} = 0 it is SGD")
    for number in range(1, LONG + 1):
        plain = torch.autograd.grad(problem.loss(), list(problem.model.parameters()))
        problem.backward(method)
        d = problem.direction()
        if relative_error(d, torch.cat([g.flatten() for g in plain])) > INERT:
            return passed(f"another direction than SGD's in step {number}")
        problem.advance()
    return finding(f"in {LONG} steps every direction is SGD's", places.of_method(method))


RULES = (
    Rule(
        "formula",
        formula,
        "results carry the name of a method that was not run.",
    ),
    Rule(
        "acts",
        acts,
        "the method has its full cost and trains exactly as SGD does.",
    ),
)
