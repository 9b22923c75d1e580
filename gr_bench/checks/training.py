"""Ways in which training code uses a step: precision, parts of a batch, parts of a model."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gr_bench.checks import places
from gr_bench.checks.outcome import (
    Outcome,
    Rule,
    finding,
    not_applicable,
    not_known,
    passed,
)
from gr_bench.checks.side_effects import displaced
from gr_bench.checks.subject import (
    BATCH,
    IMAGES,
    LEARNING_RATE,
    PLAIN,
    SEED,
    Problem,
    Subject,
    image_problem,
    problem_of,
    relative_error,
    same_bits,
)
from gr_bench.optimizers.eager import SGD as EagerSGD
from gr_bench.workloads.loss import cross_entropy

ROUNDING = 1e-6
"""Relative error, in float64, of two orders of summation, a few steps on."""

MICRO_BATCHES = 4

COMPILED_ROUNDING = 1e-3
"""The same in float32, with operations fused."""


def autocast(subject: Subject) -> Outcome:
    """Under bfloat16 autocast p.grad is finite and in p's dtype; parameters are restored."""
    problem = image_problem(PLAIN)

    def loss_fn() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return problem.loss()

    for method in subject.steps(problem):
        before = {name: p.detach().clone() for name, p in problem.parameters.items()}
        problem.backward(method, loss_fn)
        where = places.of_method(method)
        if fault := displaced(problem.model, before):
            return finding(fault, where)
        for name, p in problem.parameters.items():
            if p.grad is None or p.grad.dtype != p.dtype or not bool(torch.isfinite(p.grad).all()):
                return finding(f"{name} gets no finite gradient in {p.dtype}", where)
    return passed("finite, in the parameters' dtype")


def autocast_around(subject: Subject) -> Outcome:
    """A whole step under autocast equals the step with only its forward passes under autocast."""
    inside, around = image_problem(PLAIN), image_problem(PLAIN)

    def loss_fn() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return inside.loss()

    pairs = zip(subject.steps(inside), subject.steps(around), strict=True)
    for number, (one, two) in enumerate(pairs, 1):
        inside.backward(one, loss_fn)
        with torch.autocast("cpu", torch.bfloat16):
            around.backward(two)
        if not torch.equal(inside.direction(), around.direction()):
            return finding(f"step {number} is another one", places.of_method(one))
    return passed("the same, bit for bit")


def accumulation(subject: Subject) -> Outcome:
    """A loss that is the mean over micro-batches gives the direction of the whole batch."""
    whole, split = (image_problem(PLAIN, torch.float64) for _ in range(2))

    def loss_fn() -> Tensor:
        parts = zip(
            split.inputs.chunk(MICRO_BATCHES), split.targets.chunk(MICRO_BATCHES), strict=True
        )
        losses = [cross_entropy(split.model(inputs), targets) for inputs, targets in parts]
        return torch.stack(losses).mean()

    for one, two in zip(subject.steps(whole), subject.steps(split), strict=True):
        whole.backward(one)
        split.backward(two, loss_fn)
        error = relative_error(split.direction(), whole.direction())
        if not error <= ROUNDING:
            words = f"relative error {error:.1e} in {MICRO_BATCHES} micro-batches of {BATCH} images"
            return finding(words, places.of_method(one))
    return passed(f"that of the whole batch, in {MICRO_BATCHES} micro-batches")


def clipping(subject: Subject) -> Outcome:
    """Clipping p.grad in place after a step changes nothing in the following steps."""
    clipped, kept = (image_problem(PLAIN) for _ in range(2))
    one, two = (subject.method(p, 2 * subject.span) for p in (clipped, kept))
    for number in range(2 * subject.span):
        clipped.backward(one)
        kept.backward(two)
        where = places.of_method(one)
        if not torch.equal(clipped.direction(), kept.direction()):
            return finding(f"step {number + 1} is another one after clipping", where)
        torch.nn.utils.clip_grad_norm_(clipped.model.parameters(), 1e-3)
        for p in (*clipped.model.parameters(), *kept.model.parameters()):
            p.grad = None
    return passed("what follows is the same")


def frozen(subject: Subject) -> Outcome:
    """A frozen parameter keeps its bits and gets no gradient; the others keep theirs."""
    some, alone = image_problem(PLAIN), image_problem(PLAIN)
    for problem in (some, alone):
        next(problem.model.parameters()).requires_grad_(False)
    for one, two in zip(subject.steps(some), subject.steps(alone), strict=True):
        first = next(some.model.parameters())
        before = first.detach().clone()
        some.backward(one)
        trained = [p for p in alone.model.parameters() if p.requires_grad]
        alone.backward(two, params=trained)
        where = places.of_method(one)
        if not same_bits(first, before):
            return finding("a frozen parameter is moved", where)
        if first.requires_grad or (first.grad is not None and bool(first.grad.any())):
            return finding("a frozen parameter gets a gradient", where)
        if not torch.equal(some.direction(), alone.direction()):
            return finding("the others' direction depends on it", where)
    return passed("left alone")


def groups(subject: Subject) -> Outcome:
    """An optimizer with one learning rate per group steps by -rate·d in each."""
    problem, twin = image_problem(PLAIN), image_problem(PLAIN)
    rates = [LEARNING_RATE / (1 + i) for i in range(len(problem.parameters))]
    optimizer = EagerSGD(
        [
            {"params": [p], "lr": rate}
            for p, rate in zip(problem.model.parameters(), rates, strict=True)
        ],
        lr=LEARNING_RATE,
        momentum=0.0,
        weight_decay=0.0,
    )
    one, two = (subject.method(p, 1) for p in (problem, twin))
    problem.backward(one)
    twin.backward(two)
    optimizer.step()
    pairs = zip(problem.model.parameters(), twin.model.parameters(), rates, strict=True)
    for p, before, rate in pairs:
        d = torch.zeros_like(before) if before.grad is None else before.grad
        if not torch.equal(p, before.detach().add(d, alpha=-rate)):
            words = f"a step at rate {rate:g} is not -rate·d"
            return finding(words, places.of_method(one))
    return passed("each at its own rate")


def tied(subject: Subject) -> Outcome:
    """A parameter that is used twice, and listed twice, is treated as one."""
    once, twice = _tied(), _tied()
    for one, two in zip(subject.steps(once), subject.steps(twice), strict=True):
        once.backward(one)
        listed = list(twice.model.parameters())
        twice.backward(two, params=[*listed, *listed])
        if not torch.equal(once.direction(), twice.direction()):
            return finding("a parameter listed twice is moved twice", places.of_method(one))
    return passed("treated as one")


def _tied() -> Problem:
    torch.manual_seed(SEED)
    features = IMAGES[0] * IMAGES[1] * IMAGES[2]
    shared = nn.Linear(10, 10)
    return problem_of(
        nn.Sequential(nn.Flatten(), nn.Linear(features, 10), nn.Tanh(), shared, nn.Tanh(), shared)
    )


def channels_last(subject: Subject) -> Outcome:
    """A convolutional network in channels-last memory has the same direction as without."""
    usual, last = _convolutional(), _convolutional()
    last.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    last.inputs = last.inputs.contiguous(memory_format=torch.channels_last)
    strides = [p.stride() for p in last.model.parameters()]
    for one, two in zip(subject.steps(usual), subject.steps(last), strict=True):
        usual.backward(one)
        last.backward(two)
        where = places.of_method(one)
        error = relative_error(last.direction(), usual.direction())
        if not error <= ROUNDING:
            return finding(f"relative error {error:.1e}", where)
        if [p.stride() for p in last.model.parameters()] != strides:
            return finding("parameters are in another memory format afterwards", where)
    return passed("the same direction")


def _convolutional() -> Problem:
    torch.manual_seed(SEED)
    model = nn.Sequential(
        nn.Conv2d(IMAGES[0], 8, 3, padding=1),
        nn.Tanh(),
        nn.Conv2d(8, 8, 3),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(8 * (IMAGES[1] - 2) * (IMAGES[2] - 2), 10),
    )
    return problem_of(model.double())


def compiled(subject: Subject) -> Outcome:
    """A model under ``torch.compile`` has the same direction as without."""
    if not subject.compiled:
        return not_known("not asked: --compile does")
    eager, traced = image_problem(PLAIN), image_problem(PLAIN)
    if subject.method(eager).needs_second_derivatives:
        return not_applicable("compiled graphs cannot be differentiated twice")
    forward: Callable[[Tensor], Tensor] = torch.compile(traced.model, backend="aot_eager")

    def loss_fn() -> Tensor:
        return cross_entropy(forward(traced.inputs), traced.targets)

    for one, two in zip(subject.steps(eager), subject.steps(traced), strict=True):
        eager.backward(one)
        traced.backward(two, loss_fn)
        error = relative_error(traced.direction(), eager.direction())
        if not error <= COMPILED_ROUNDING:
            return finding(f"relative error {error:.1e}", places.of_method(one))
    return passed("the same direction")


RULES = (
    Rule(
        "autocast",
        autocast,
        "mixed precision does not train, or leaves perturbed weights.",
    ),
    Rule(
        "autocast around",
        autocast_around,
        "a loop that runs the whole step under autocast trains on something else: the casts of "
        "the weights from the first pass are reused in the second.",
    ),
    Rule(
        "accumulation",
        accumulation,
        "a batch split into parts, to fit into memory, trains differently.",
    ),
    Rule(
        "clipping",
        clipping,
        "gradient clipping, which works in place, changes what the method remembers.",
    ),
    Rule(
        "frozen",
        frozen,
        "fine-tuning moves or perturbs layers that are frozen.",
    ),
    Rule(
        "groups",
        groups,
        "layers with their own learning rates take a different step from the one requested.",
    ),
    Rule(
        "tied",
        tied,
        "shared weights listed with both of their modules, as in lists made by hand, are "
        "perturbed twice as far as the others.",
    ),
    Rule(
        "channels-last",
        channels_last,
        "the fast memory format for convolutions trains differently, or is lost.",
    ),
    Rule(
        "compile",
        compiled,
        "a compiled model trains differently, or not at all.",
    ),
)
