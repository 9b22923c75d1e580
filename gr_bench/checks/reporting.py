"""The loss that a step reports, and gradients at the edge: NaN, zero, None, left over."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gr_bench.checks import places
from gr_bench.checks.outcome import Outcome, Rule, finding, not_applicable, passed
from gr_bench.checks.side_effects import ROUNDING, Watched, displaced
from gr_bench.checks.subject import (
    IMAGES,
    PLAIN,
    SEED,
    WITH_BATCH_NORM,
    WITH_DROPOUT,
    Subject,
    image_problem,
    problem_of,
    same_bits,
)


def loss(subject: Subject) -> Outcome:
    """A step returns the loss at the unperturbed parameters, with its own mask, detached.

    Of a step whose only pass is at another point, it is the one there.
    """
    elsewhere = False
    for problem in subject.general(WITH_BATCH_NORM, WITH_DROPOUT):
        for number, method in enumerate(subject.steps(problem), 1):
            twin = problem.twin()
            torch.manual_seed(SEED)
            expected = twin.loss().detach()
            watched = Watched(problem)
            found = problem.backward(method, watched)
            where = places.of_method(method)
            if watched.only_elsewhere:
                elsewhere, expected = True, watched.losses[0]
            if not isinstance(found, Tensor) or found.shape != expected.shape:
                return finding(f"step {number} returns {type(found).__name__}, no scalar", where)
            if found.requires_grad:
                return finding("the loss keeps the graph of its pass alive", where)
            if not torch.allclose(found, expected, rtol=1e-6, atol=0):
                words = (
                    f"step {number} returns {float(found):.6f}, the loss is {float(expected):.6f}"
                )
                return finding(words, where)
    if elsewhere:
        return not_applicable("a step's only pass is elsewhere; the loss is that there")
    return passed("that at the unperturbed parameters")


def not_finite(subject: Subject) -> Outcome:
    """A loss of NaN or infinity is returned as such, or raised; parameters keep their bits."""
    for bad in (float("nan"), float("inf")):
        problem = image_problem(PLAIN)
        method = subject.method(problem)
        before = {name: p.detach().clone() for name, p in problem.parameters.items()}
        try:
            found = problem.backward(method, lambda p=problem, bad=bad: p.loss() * bad)  # type: ignore[misc]
        except (ArithmeticError, ValueError, RuntimeError):
            found = torch.tensor(bad)  # told, if not returned
        where = places.of_method(method)
        if not torch.equal(torch.isfinite(found), torch.tensor(False)):
            return finding(f"a loss of {bad} is reported as {float(found):g}", where)
        if fault := displaced(problem.model, before):
            return finding(f"after a loss of {bad} {fault}", where)
    return passed("returned, and parameters are as before")


def zero_gradient(subject: Subject) -> Outcome:
    """At a point where every gradient is 0 the direction is finite."""
    for what, value in (("weights and gradient are 0", 0.0), ("the gradient is 0", 1.0)):
        model = nn.Linear(4, 2)
        for p in model.parameters():
            nn.init.constant_(p, value)
        problem = problem_of(model)
        method = subject.method(problem)

        def bowl(model: nn.Module = model, value: float = value) -> Tensor:
            return torch.stack([(p - value).square().sum() for p in model.parameters()]).sum()

        for _ in range(subject.span):
            problem.backward(method, bowl)
            for name, p in model.named_parameters():
                if p.grad is not None and not bool(torch.isfinite(p.grad).all()):
                    words = f"where {what}, that of {name} becomes NaN"
                    return finding(words, places.of_method(method))
                if not bool(torch.isclose(p, torch.tensor(value), rtol=ROUNDING).all()):
                    return finding(f"where {what}, {name} changes", places.of_method(method))
    return passed("stays finite")


class Branches(nn.Module):
    """A net with a branch that the loss does not always use."""

    def __init__(self) -> None:
        super().__init__()
        features = IMAGES[0] * IMAGES[1] * IMAGES[2]
        self.first = nn.Linear(features, 16)
        self.branch = nn.Linear(16, 16)
        self.last = nn.Linear(16, 10)

    def forward(self, inputs: Tensor, *, use_branch: bool) -> Tensor:
        """Logits (B, 10)."""
        hidden = torch.tanh(self.first(inputs.flatten(1)))
        if use_branch:
            hidden = hidden + torch.tanh(self.branch(hidden))
        logits: Tensor = self.last(hidden)
        return logits


NEVER, FIRST, LATER = "in no pass", "in the first pass alone", "in later passes alone"


def no_gradient(subject: Subject) -> Outcome:
    """A parameter without a gradient in one pass, or in all, is handled and not left perturbed."""
    used: dict[str, Callable[[int], bool]] = {
        NEVER: lambda call: False,
        FIRST: lambda call: call == 1,
        LATER: lambda call: call > 1,
    }
    for words, use in used.items():
        torch.manual_seed(SEED)
        model = Branches()
        problem = problem_of(model)
        method = subject.method(problem, subject.span)
        for _ in range(subject.span):
            before = {name: p.detach().clone() for name, p in problem.parameters.items()}
            calls = [0]

            def loss_fn(use: Callable[[int], bool] = use, calls: list[int] = calls) -> Tensor:
                calls[0] += 1
                logits = model(problem.inputs, use_branch=use(calls[0]))  # noqa: B023
                return nn.functional.cross_entropy(logits, problem.targets)  # noqa: B023

            try:
                problem.backward(method, loss_fn)
            except Exception as error:
                told = f"{type(error).__name__} for a parameter used {words}: {error}"
                return finding(told, places.of_exception(error))
            where = places.of_method(method)
            if fault := displaced(model, before):
                return finding(f"with a parameter used {words}, {fault}", where)
            for name, p in problem.parameters.items():
                if p.grad is not None and not bool(torch.isfinite(p.grad).all()):
                    return finding(f"used {words}, {name} gets NaN", where)
            if words == NEVER and any(
                p.grad is not None and bool(p.grad.any()) for p in model.branch.parameters()
            ):
                return finding(f"a parameter used {words} gets a gradient", where)
            problem.advance()
    return passed("handled")


def left_over(subject: Subject) -> Outcome:
    """The direction does not depend on ``p.grad`` before the step."""
    directions = []
    for old in (None, 1e3):
        problem = image_problem(PLAIN)
        method = subject.method(problem)
        for p in problem.model.parameters():
            p.grad = None if old is None else torch.full_like(p, old)
        problem.backward(method)
        directions.append(problem.direction())
    if not same_bits(*directions):
        return finding("an old p.grad is added to the direction", places.of_method(method))
    return passed("what was in p.grad before is gone")


RULES = (
    Rule(
        "loss",
        loss,
        "training curves show the loss at the perturbed weights, which is higher: a generalization "
        "gap computed from them is too small, or negative.",
    ),
    Rule(
        "loss not finite",
        not_finite,
        "a diverged run appears to continue, or one bad batch destroys the weights.",
    ),
    Rule(
        "zero gradient",
        zero_gradient,
        "a run that has fitted its data, or whose parameters have all saturated, turns into NaN.",
    ),
    Rule(
        "no gradient",
        no_gradient,
        "models with unused or randomly skipped layers crash, or keep perturbed weights in them.",
    ),
    Rule(
        "left-over gradients",
        left_over,
        "a loop that does not clear gradients first trains on the sum of all steps so far.",
    ),
)
