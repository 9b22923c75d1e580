"""The families' formulas, written down once more: in float64, straight from the papers.

Nothing here uses :mod:`gr_bench.methods`. Parameters and gradients are dictionaries by name, and a
gradient is that of the loss at any point, from the buffers at θ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.func import functional_call

from gr_bench.checks.subject import SEED, Problem
from gr_bench.workloads.loss import cross_entropy

Point = dict[str, Tensor]
Numbers = Mapping[str, float]
Memory = dict[str, Point]
"""The memory of the steps before, of a method with state: averages, directions."""


class Objective:
    """L as a function of θ on a problem's mini-batch."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self.theta: Point = {n: p.detach().clone() for n, p in problem.parameters.items()}
        self._buffers = {n: b.clone() for n, b in problem.model.named_buffers()}

    def loss(self, at: Point) -> Tensor:
        """L(θ)."""
        torch.manual_seed(SEED)
        buffers = {name: b.clone() for name, b in self._buffers.items()}
        logits = functional_call(self._problem.model, at | buffers, (self._problem.inputs,))
        return cross_entropy(logits, self._problem.targets)

    def gradient(self, at: Point) -> Point:
        """∇L(θ)."""
        asking = {name: p.clone().requires_grad_() for name, p in at.items()}
        found = torch.autograd.grad(self.loss(asking), list(asking.values()))
        return dict(zip(asking, found, strict=True))

    def hessian_times_gradient(self) -> Point:
        """Hg at θ, as the gradient of (1/2)·‖∇L‖²."""
        asking = {name: p.clone().requires_grad_() for name, p in self.theta.items()}
        wanted = list(asking.values())
        g = torch.autograd.grad(self.loss(asking), wanted, create_graph=True)
        half = torch.stack([t.square().sum() for t in g]).sum() / 2
        return dict(zip(asking, torch.autograd.grad(half, wanted), strict=True))


def norm(of: Point) -> Tensor:
    """‖·‖₂ over all."""
    return torch.stack([t.square().sum() for t in of.values()]).sum().sqrt()


def plus(a: Point, b: Point, times: float | Tensor) -> Point:
    """a + times·b."""
    return {name: a[name] + times * b[name] for name in a}


def _sgd(f: Objective, n: Numbers) -> Point:
    return f.gradient(f.theta)


def _sam(f: Objective, n: Numbers) -> Point:
    g = f.gradient(f.theta)
    return f.gradient(plus(f.theta, g, n["rho"] / norm(g)))


def _unnormalized_sam(f: Objective, n: Numbers) -> Point:
    return f.gradient(plus(f.theta, f.gradient(f.theta), n["rho"]))


def _asam(f: Objective, n: Numbers) -> Point:
    g = f.gradient(f.theta)
    scaled = {name: p.abs() * g[name] for name, p in f.theta.items()}
    ahead = {name: p.abs() * scaled[name] for name, p in f.theta.items()}
    return f.gradient(plus(f.theta, ahead, n["rho"] / norm(scaled)))


def _gnp(f: Objective, n: Numbers) -> Point:
    g = f.gradient(f.theta)
    there = f.gradient(plus(f.theta, g, n["r"] / norm(g)))
    return {name: (1 - n["alpha"]) * g[name] + n["alpha"] * there[name] for name in g}


def _forward(f: Objective, n: Numbers) -> Point:
    g = f.gradient(f.theta)
    there = f.gradient(plus(f.theta, g, n["epsilon"]))
    return plus(g, plus(there, g, -1), n["gamma"] / n["epsilon"])


def _backward(f: Objective, n: Numbers) -> Point:
    g = f.gradient(f.theta)
    there = f.gradient(plus(f.theta, g, -n["epsilon"]))
    return plus(g, plus(g, there, -1), n["gamma"] / n["epsilon"])


def _central(f: Objective, n: Numbers) -> Point:
    g = f.gradient(f.theta)
    ahead = f.gradient(plus(f.theta, g, n["epsilon"]))
    behind = f.gradient(plus(f.theta, g, -n["epsilon"]))
    return plus(g, plus(ahead, behind, -1), n["gamma"] / (2 * n["epsilon"]))


def _double(f: Objective, n: Numbers) -> Point:
    return plus(f.gradient(f.theta), f.hessian_times_gradient(), n["gamma"])


def _flooding(f: Objective, n: Numbers) -> Point:
    sign = (f.loss(f.theta) - n["level"]).sign()
    return {name: sign * g for name, g in f.gradient(f.theta).items()}


def dot(a: Point, b: Point) -> Tensor:
    """<a, b> over all."""
    return torch.stack([(a[name] * b[name]).sum() for name in a]).sum()


def _orthogonal(a: Point, to: Point) -> Point:
    """a - (<a, to>/‖to‖²)·to."""
    return plus(a, to, -dot(a, to) / dot(to, to))


def _gsam(f: Objective, n: Numbers) -> Point:
    g = f.gradient(f.theta)
    there = f.gradient(plus(f.theta, g, n["rho"] / norm(g)))
    return plus(there, _orthogonal(g, there), -n["alpha"])


FORMULAS: dict[str, Callable[[Objective, Numbers], Point]] = {
    "sgd": _sgd,
    "sam": _sam,
    "unnormalized-sam": _unnormalized_sam,
    "asam": _asam,
    "gnp": _gnp,
    "f-gr": _forward,
    "b-gr": _backward,
    "c-gr": _central,
    "db-gr": _double,
    "flooding": _flooding,
    "gsam": _gsam,
}
"""The direction at θ, by the family's name; numbers go by those of the built-in method."""


def _friendly(f: Objective, n: Numbers, memory: Memory) -> Point:
    g = f.gradient(f.theta)
    before = memory.get("average", {name: 0 * t for name, t in g.items()})
    average = plus({name: n["decay"] * t for name, t in before.items()}, g, 1 - n["decay"])
    memory["average"] = average
    noise = plus(g, average, -n["sigma"])
    return f.gradient(plus(f.theta, noise, n["rho"] / norm(noise)))


def _look(f: Objective, n: Numbers, memory: Memory) -> Point:
    step = memory.setdefault("step", {"number": torch.zeros(())})
    place = int(step["number"]) % int(n["k"])
    step["number"] = step["number"] + 1
    g = f.gradient(f.theta)
    if place == 0:
        there = f.gradient(plus(f.theta, g, n["rho"] / norm(g)))
        memory["v"] = _orthogonal(there, g)
        return there
    v = memory["v"]
    return plus(g, v, n["alpha"] * norm(g) / norm(v))


def _momentum(f: Objective, n: Numbers, memory: Memory) -> Point:
    v = memory.get("v")
    at = f.theta if v is None else plus(f.theta, v, -n["rho"] / norm(v))
    d = f.gradient(at)
    memory["v"] = d if v is None else plus(d, v, n["mu"])
    return d


def _single_step(f: Objective, n: Numbers, memory: Memory) -> Point:
    before = memory.get("d")
    at = f.theta if before is None else plus(f.theta, before, n["rho"] / norm(before))
    memory["d"] = f.gradient(at)
    return memory["d"]


WITH_MEMORY: dict[str, Callable[[Objective, Numbers, Memory], Point]] = {
    "friendly-sam": _friendly,
    "looksam": _look,
    "momentum-sam": _momentum,
    "single-step-sam": _single_step,
}
"""The direction of the next step, of families whose steps remember earlier ones."""
