"""The price of a step: waiting, memory, gradients."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from gr_bench.checks import places
from gr_bench.checks.outcome import (
    Outcome,
    Rule,
    finding,
    not_applicable,
    not_known,
    passed,
)
from gr_bench.checks.subject import (
    IMAGES,
    PLAIN,
    WITH_BATCH_NORM,
    WITH_DROPOUT,
    Problem,
    Subject,
    image_problem,
    problem_of,
)
from gr_bench.meters.counters import count_flops
from gr_bench.meters.get_device import get_device
from gr_bench.meters.host_reads import HostReads
from gr_bench.meters.memory import nbytes
from gr_bench.methods import SGD, Method

COPIES_TOLERANCE = 0.15
"""Copies of the parameters that small things beside them may take."""

LONGEST_CYCLE = 200
"""Steps of a cycle that are counted."""

LAYERS = 8
"""Of the net whose FLOPs are counted: products are then nearly all of a step."""

MORE, LESS = 1.05, 0.9
"""Counted over declared: beyond these they differ. DB-GR declares 3 for (9L-5)/(3L-1)."""


def steps_end(subject: Subject) -> Outcome:
    """A few steps run to completion, on networks with batch norm and with dropout."""
    for problem in subject.general(WITH_BATCH_NORM, WITH_DROPOUT):
        for method in subject.steps(problem):
            try:
                problem.backward(method)
            except Exception as error:
                words = f"{type(error).__name__}: {error}"
                return finding(words, places.of_exception(error))
            for p in problem.model.parameters():
                if p.grad is None:
                    continue
                if p.grad.shape != p.shape or p.grad.dtype != p.dtype or p.grad.requires_grad:
                    words = "p.grad is not a plain tensor like p"
                    return finding(words, places.of_method(method))
    return passed("they do")


def synchronisation(subject: Subject) -> Outcome:
    """No step after the first reads a value back: no ``.item()``, no truth value of a tensor."""
    for problem in subject.general(WITH_BATCH_NORM, WITH_DROPOUT):
        for number, method in enumerate(subject.steps(problem), 1):
            with HostReads(places.of_caller) as reads:
                problem.backward(method)
            if number > 1 and reads.found:
                words = f"{len(reads.found)} a step, by {reads.found[0]}"
                return finding(words, reads.places[0])
    return passed("nothing is read back")


def copies(subject: Subject) -> Outcome:
    """A step holds one copy of the parameters beyond SGD's, and one of g if it is needed later.

    Memory in :attr:`gr_bench.methods.Method.state` is the method's by right.
    """
    steps = subject.span
    sgd_bytes, _ = _peak(lambda problem: SGD(), steps)
    peak, method = _peak(subject.method, steps)
    parameter_bytes = nbytes(_deep().model.parameters())
    found = (peak - sgd_bytes) / parameter_bytes
    state = nbytes(t for t in tree_leaves(method.state_dict()) if isinstance(t, torch.Tensor))
    words = f"{found:.2f} copies more than SGD"
    if method.needs_second_derivatives:
        return not_applicable(f"{words}, with the graph of the gradient")
    allowed = 1 + method.keeps_gradient + state / parameter_bytes
    if found > allowed + COPIES_TOLERANCE:
        return finding(f"{words}, where {allowed:.2f} would do", places.of_method(method))
    return passed(words)


def _deep() -> Problem:
    """Parameters that are large beside activations, and none large among them."""
    torch.manual_seed(0)
    inputs = IMAGES[0] * IMAGES[1] * IMAGES[2]
    inner = [nn.Linear(128, 128, bias=False) for _ in range(40)]
    head = [nn.Flatten(), nn.Linear(inputs, 128, bias=False)]
    return problem_of(nn.Sequential(*head, *inner, nn.Linear(128, 10, bias=False)))


def _peak(build: Callable[[Problem], Method], steps: int) -> tuple[int, Method]:
    """The most bytes that a method's first steps hold at once, the model's included; the method.

    The model is built inside: memory from before could be freed unseen.
    """
    built: list[Method] = []

    def work() -> None:
        problem = _deep()
        method = build(problem)
        built.append(method)
        for _ in range(steps):
            problem.backward(method)

    return get_device("cpu").peak_growth(work), built[0]


def evaluations(subject: Subject) -> Outcome:
    """A step takes as many gradients as the method declares, counted in floating-point operations.

    The mean over a cycle, after one cycle, on an MLP of many layers.
    """
    problem = _layers()
    method = subject.method(problem)
    if method.cycle > LONGEST_CYCLE:
        return not_known(f"a cycle of {method.cycle} steps is too long to count")
    one = count_flops(lambda: _layers().backward(SGD()))
    calls = [0]

    def loss_fn() -> torch.Tensor:
        calls[0] += 1
        return problem.loss()

    def cycle() -> None:
        for _ in range(method.cycle):
            problem.backward(method, loss_fn)
            problem.advance()

    cycle()
    calls[0] = 0
    flops = count_flops(cycle)
    if one is None or flops is None:
        return not_known("its arithmetic cannot be counted (see gr_bench.meters.flops)")
    found = flops / one / method.cycle
    declared = method.gradient_evaluations
    forwards = calls[0] / method.cycle
    words = f"{found:.2f} a step, {forwards:g} forward passes; declared {declared:g}"
    if not LESS <= found / declared <= MORE:
        return finding(words, places.of_method(method))
    return passed(words)


def _layers() -> Problem:
    torch.manual_seed(0)
    inputs = IMAGES[0] * IMAGES[1] * IMAGES[2]
    inner = [module for _ in range(LAYERS) for module in (nn.Linear(inputs, inputs), nn.Tanh())]
    return problem_of(nn.Sequential(nn.Flatten(), *inner))


def determinism(subject: Subject) -> Outcome:
    """The same steps from the same state, run twice, are equal bit for bit."""
    (problem,) = subject.general(WITH_DROPOUT)
    again = problem.twin()
    first, second = subject.steps(problem), subject.steps(again)
    for number, (one, two) in enumerate(zip(first, second, strict=True), 1):
        losses = problem.backward(one), again.backward(two)
        if not torch.equal(*losses) or not torch.equal(problem.direction(), again.direction()):
            return finding(f"step {number} differs from itself", places.of_method(one))
    return passed("equal bit for bit")


def state(subject: Subject) -> Outcome:
    """A training that is stopped, saved, loaded and continued equals an uninterrupted one."""
    import io

    whole = image_problem(PLAIN)
    method = subject.method(whole, 2 * subject.span)
    saved = io.BytesIO()
    for number in range(2 * subject.span):
        if number == subject.span:
            torch.save((method.state_dict(), whole.optimizer.state_dict()), saved)
            parted = whole.twin()
        whole.backward(method, seed=number)
        whole.advance()
    saved.seek(0)
    where = places.of_method(method)
    try:
        of_method, of_optimizer = torch.load(saved, weights_only=True)
    except Exception as error:
        return finding(f"its state is no plain data: {type(error).__name__}", where)
    fresh = subject.method(parted, 2 * subject.span)
    fresh.load_state_dict(of_method)
    parted.optimizer.load_state_dict(of_optimizer)
    for number in range(subject.span, 2 * subject.span):
        parted.backward(fresh, seed=number)
        parted.advance()
    for name, p in whole.parameters.items():
        if not torch.equal(p, parted.parameters[name]):
            return finding(f"{name} is another one {subject.span} steps after loading", where)
    return passed("going on equals not stopping, bit for bit")


RUNS = Rule(
    "step",
    steps_end,
    "no model can be trained with it.",
)

RULES = (
    Rule(
        "synchronisation",
        synchronisation,
        "on a GPU the host waits in every step instead of running ahead, and the device is idle.",
    ),
    Rule(
        "parameter copies",
        copies,
        "the largest model that fits into memory is smaller than necessary.",
    ),
    Rule(
        "gradient evaluations",
        evaluations,
        "a comparison at equal cost gives the method more, or less, than its declared cost.",
    ),
    Rule(
        "determinism",
        determinism,
        "a seed does not fix a run: neither a bug nor a result can be reproduced.",
    ),
    Rule(
        "state",
        state,
        "a run resumed from a checkpoint is a different run.",
    ),
)
