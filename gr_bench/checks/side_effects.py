"""Traces that a step must not leave: in parameters, buffers, random numbers, switches."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gr_bench.checks import places
from gr_bench.checks.outcome import Outcome, Rule, finding, not_applicable, passed
from gr_bench.checks.subject import (
    SEED,
    WITH_BATCH_NORM,
    WITH_DROPOUT,
    Problem,
    Subject,
    same_bits,
)

ROUNDING = 1e-6
"""Relative distance of a parameter that was added to and subtracted from."""

ROUNDINGS = 1e-4
"""Relative error of running statistics that another kernel's rounding explains; a second move is
a thousand times that."""


def parameters(subject: Subject) -> Outcome:
    """After each step every parameter has its previous bits and its previous memory."""
    for problem in subject.general(WITH_BATCH_NORM, WITH_DROPOUT):
        for number, method in enumerate(subject.steps(problem), 1):
            before = {name: p.detach().clone() for name, p in problem.parameters.items()}
            problem.backward(method)
            if fault := moved(problem.model, before):
                elsewhere = displaced(problem.model, before)
                words = f"{elsewhere}, not by rounding" if elsewhere else f"{fault}, by rounding"
                return finding(f"step {number}: {words}", places.of_method(method))
    return passed("bit for bit as before")


def moved(model: nn.Module, before: Mapping[str, Tensor]) -> str | None:
    """The parameter that is not what it was, in words; None if there is none."""
    for name, p in model.named_parameters():
        if not same_bits(p, before[name]):
            changed = int((p.detach() != before[name]).sum())
            return f"{changed} entries of {name} are not what they were"
    return None


def displaced(model: nn.Module, before: Mapping[str, Tensor]) -> str | None:
    """The parameter that is elsewhere by more than rounding, or NaN, in words; None if none is.

    Rounding is for the rule on parameters to tell.
    """
    for name, p in model.named_parameters():
        distance = float((p.detach() - before[name]).norm())
        if not distance <= ROUNDING * float(before[name].norm()):
            return f"{name} is left elsewhere"
    return None


class Watched:
    """A problem's loss function that notes its calls."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._before = {name: p.detach().clone() for name, p in problem.parameters.items()}
        self._elsewhere: list[bool] = []
        self.losses: list[Tensor] = []
        """Of all calls, detached."""

    def __call__(self) -> Tensor:
        """A forward pass."""
        self._elsewhere.append(displaced(self._problem.model, self._before) is not None)
        loss = self._problem.loss()
        self.losses.append(loss.detach())
        return loss

    @property
    def only_elsewhere(self) -> bool:
        """True of a step whose one pass was at another point than θ: L(θ) is known to nobody."""
        return self._elsewhere == [True]


def batch_norm(subject: Subject) -> Outcome:
    """Running statistics after a step are those of a single forward pass.

    The pass at θ, or a step's only one, where that is.
    """
    (problem,) = subject.general(WITH_BATCH_NORM)
    if not any(isinstance(module, _BatchNorm) for module in problem.model.modules()):
        return not_applicable("the model has no batch norm")
    momenta = [norm.momentum for norm in _norms(problem.model)]
    for number, method in enumerate(subject.steps(problem), 1):
        once = problem.twin()
        for norm, momentum in zip(_norms(once.model), momenta, strict=True):
            norm.momentum = momentum
        torch.manual_seed(SEED)
        once.loss()
        before = batch_norm_counts(problem.model)
        watched = Watched(problem)
        problem.backward(method, watched)
        fault = statistics_fault(problem.model, once.model, before)
        moves = [b - a for a, b in zip(before, batch_norm_counts(problem.model), strict=True)]
        if watched.only_elsewhere and set(moves) == {1}:
            continue
        if fault:
            return finding(f"step {number}: {fault}", places.of_method(method))
    return passed("statistics move once a step")


def statistics_fault(model: nn.Module, once: nn.Module, before: list[int]) -> str | None:
    """The fault in running statistics, in words; None if there is none.

    A counter that moves twice alone is none: with batch norm's momentum set to 0 the statistics
    stay, and it goes on.

    Args:
        model: after a step.
        once: the same model after a single forward pass.
        before: the counters of its batch norms before that.
    """
    pairs = zip(_norms(model), _norms(once), before, strict=True)
    for own, expected, count in pairs:
        moves = int(_number(own.num_batches_tracked)) - count
        words = f"statistics moved {moves} times" if moves != 1 else NOT_OF_ONE_PASS
        for a, b in (
            (own.running_mean, expected.running_mean),
            (own.running_var, expected.running_var),
        ):
            assert a is not None
            assert b is not None
            if float((a - b).norm()) > ROUNDINGS * float(b.norm()):
                return words
    return None


NOT_OF_ONE_PASS = "running statistics are not those of one pass"


def _norms(model: nn.Module) -> list[_BatchNorm]:
    return [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]


def batch_norm_counts(model: nn.Module) -> list[int]:
    """The moves of each batch norm's statistics so far."""
    return [int(_number(norm.num_batches_tracked)) for norm in _norms(model)]


def _number(tensor: Tensor | None) -> float:
    assert tensor is not None
    return float(tensor)


def dropout(subject: Subject) -> Outcome:
    """Every pass of a step uses the same mask, and random numbers continue as after one pass."""
    (problem,) = subject.general(WITH_DROPOUT)
    masks = Masks(problem.model)
    if not masks.passes:
        return not_applicable("the model has no dropout")
    for number, method in enumerate(subject.steps(problem), 1):
        masks.forget()
        problem.backward(method)
        if fault := masks.fault():
            return finding(f"step {number}: {fault}", places.of_method(method))
        after = torch.get_rng_state()
        torch.manual_seed(SEED)
        problem.twin().loss()
        if not torch.equal(after, torch.get_rng_state()):
            return finding(f"step {number}: {RANDOM_STATE}", places.of_method(method))
    return passed("one mask a step")


RANDOM_STATE = "the random state after a step is not that after one pass"


class Masks:
    """The masks that a model's dropout draws, pass by pass."""

    def __init__(self, model: nn.Module) -> None:
        dropouts = [m for m in model.modules() if isinstance(m, nn.Dropout) and m.p > 0]
        self.passes: dict[nn.Module, list[tuple[Tensor, Tensor]]] = {m: [] for m in dropouts}
        for module in dropouts:
            module.register_forward_hook(partial(_note_mask, self.passes))

    def forget(self) -> None:
        """Begin anew."""
        for masks in self.passes.values():
            masks.clear()

    def fault(self) -> str | None:
        """The first mask that is another than the first pass's, in words."""
        for masks in self.passes.values():
            for dropped, live in masks[1:]:
                if bool(((dropped != masks[0][0]) & live & masks[0][1]).any()):
                    return "a later pass draws another mask"
        return None


def _note_mask(
    passes: dict[nn.Module, list[tuple[Tensor, Tensor]]],
    module: nn.Module,
    inputs: tuple[Tensor],
    output: Tensor,
) -> None:
    """Note where the output is 0, and where that is the mask's doing."""
    if module in passes:
        passes[module].append((output.detach() == 0, inputs[0].detach() != 0))


def switches(subject: Subject) -> Outcome:
    """A step leaves training mode, ``requires_grad`` and batch norm's settings unchanged."""
    for problem in subject.general(WITH_BATCH_NORM, WITH_DROPOUT):
        method = subject.method(problem)
        before = _switches(problem.model)
        problem.backward(method)
        if changed := _changed(before, _switches(problem.model)):
            return finding(f"{changed} is not what it was", places.of_method(method))
    return passed("as before")


def exception(subject: Subject) -> Outcome:
    """An exception in a later pass is raised and leaves everything as it was before the step."""
    (problem,) = subject.general(WITH_BATCH_NORM)
    for method in subject.steps(problem):
        values = {n: t.detach().clone() for n, t in problem.model.state_dict().items()}
        flags = _switches(problem.model)
        failing = Failing(problem)
        try:
            problem.backward(method, failing)
        except PassFailed:
            left = [n for n, t in problem.model.state_dict().items() if not same_bits(t, values[n])]
            parameters = [name for name in left if name in problem.parameters]
            where = places.of_method(method)
            if parameters:
                return finding(f"{parameters[0]} stays perturbed after it", where)
            if left:
                return finding(f"{left[0]} stays changed after it", where)
            if changed := _changed(flags, _switches(problem.model)):
                return finding(f"{changed} stays changed after it", where)
            return passed("all is as before the step")
        if failing.calls > 1:
            return finding("the exception is swallowed", places.of_method(method))
    return not_applicable("a step has one pass")


class PassFailed(RuntimeError):
    """The planted exception."""


class Failing:
    """A loss function that raises in its second call."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self.calls = 0

    def __call__(self) -> Tensor:
        """A forward pass."""
        self.calls += 1
        if self.calls == 1:
            return self._problem.loss()
        self._problem.loss()
        raise PassFailed("out of memory, say")


def _switches(model: nn.Module) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, module in model.named_modules():
        found[f"training mode of {name or 'the model'}"] = module.training
        if isinstance(module, _BatchNorm):
            found[f"momentum of {name}"] = module.momentum
            found[f"track_running_stats of {name}"] = module.track_running_stats
    for name, p in model.named_parameters():
        found[f"requires_grad of {name}"] = p.requires_grad
    return found


def _changed(before: Mapping[str, object], after: Mapping[str, object]) -> str | None:
    return next((key for key, value in before.items() if after.get(key) != value), None)


RULES = (
    Rule(
        "parameters",
        parameters,
        "weights drift away from the optimizer's values, a little more in every step; a "
        "checkpoint taken between steps contains perturbed weights.",
    ),
    Rule(
        "batch norm",
        batch_norm,
        "evaluation uses running statistics that include the perturbed weights: validation "
        "accuracy is that of a different network.",
    ),
    Rule(
        "dropout",
        dropout,
        "the two gradients belong to two different networks: their difference is mostly noise, "
        "as large as the mask's over the step, and runs cannot be compared seed by seed.",
    ),
    Rule(
        "switches",
        switches,
        "after a step the model is no longer in the mode set by the training loop.",
    ),
    Rule(
        "exception",
        exception,
        "a loop that catches an out-of-memory error, or an interrupted notebook, continues from"
        " perturbed weights, from statistics of a step that was never taken, or with statistics"
        " switched off.",
    ),
)
