"""Steps of every method on two data-parallel workers: the program of a worker, and its problems.

python two_workers.py RANK FOLDER
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from gr_bench.methods import METHODS, Flooding, LookSAM, LossFunction, Method, PerWorker, Step

WORKERS = 2
STEPS = 2
RATE = 0.1
WIDTH, CLASSES = 6, 3
MODES = ("synchronised", "per-worker", "local")
"""The whole batch's direction, the mean of the workers' own, each worker's own (``no_sync``)."""

OPTIONS = {
    "plain": {},
    "bucket-view": {"gradient_as_bucket_view": True},
    "unused": {"find_unused_parameters": True},
    "small-buckets": {"bucket_cap_mb": 1e-4},
}


# --- nets


class Tied(nn.Module):
    """Two layers that share a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.other.weight = self.one.weight
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.other(self.one(x).tanh()).tanh())


class Centred(nn.Module):
    """Inputs without their running mean, which training reads and moves."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(WIDTH))
        self.layers = mlp()

    def forward(self, x: Tensor) -> Tensor:
        self.mean.lerp_(x.mean(dim=0), 0.5)
        return self.layers(x - self.mean)


class Branching(nn.Module):
    """A layer that no worker uses, and one that those with a positive mean use."""

    def __init__(self) -> None:
        super().__init__()
        self.layers, self.sometimes, self.never = mlp(), nn.Linear(WIDTH, CLASSES), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        scores = self.layers(x)
        return scores + self.sometimes(x).tanh() if x.mean() > 0 else scores


def mlp(dropout: float = 0.0) -> nn.Module:
    return nn.Sequential(nn.Linear(WIDTH, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, CLASSES))


def batch_norm() -> nn.Module:
    return nn.Sequential(nn.Linear(WIDTH, 8), nn.BatchNorm1d(8), nn.SiLU(), nn.Linear(8, CLASSES))


NETS: dict[str, Callable[[], nn.Module]] = {
    "mlp": mlp,
    "tied": Tied,
    "dropout": lambda: mlp(dropout=0.3),
    "batch-norm": batch_norm,
    "centred": Centred,
    "branching": Branching,
}


def build(net: str) -> nn.Module:
    """The net as every worker has it at the start, in float64."""
    torch.manual_seed(0)
    return NETS[net]().double()


def part(worker: int) -> tuple[Tensor, Tensor]:
    """Inputs and targets of a worker; their means have different signs."""
    generator = torch.Generator().manual_seed(worker)
    inputs = torch.randn(5, WIDTH, generator=generator, dtype=torch.float64) + 2 * worker - 1
    return inputs, torch.randint(CLASSES, (5,), generator=generator)


def loss_on(model: nn.Module, worker: int) -> Tensor:
    """The loss on a worker's part."""
    inputs, targets = part(worker)
    return nn.functional.cross_entropy(model(inputs), targets)


def seed(worker: int, step: int) -> None:
    """The worker's random state before a step."""
    torch.manual_seed(10 * step + worker)


# --- methods


@dataclass(frozen=True)
class Ahead(Method):
    """A plug-in that knows nothing of workers: d = ∇L(θ - 0.1·g)."""

    name: ClassVar[str] = "ahead"
    passes: ClassVar[int] = 2

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        with Step(loss_fn, params) as step:
            loss = step.first()
            loss.backward()
            moved = step.with_gradient()
            ahead = [(p - 0.1 * p.grad).detach() for p in moved]
            for p in moved:
                p.grad = None
            with step.at(moved, ahead):
                step.again().backward()
            return loss.detach()


def methods() -> dict[str, Method]:
    """Every method, with numbers that tell workers apart: their losses lie about the level."""
    found: dict[str, Method] = {name: cls() for name, cls in METHODS.items()}
    return found | {"flooding": Flooding(level=1.2), "looksam": LookSAM(k=2), "ahead": Ahead()}


# --- the worker


MAIN = ("sam", "f-gr", "c-gr", "db-gr", "flooding", "looksam")
"""One of every kind, for what does not depend on a method's formula."""


def cases() -> list[tuple[str, str, str, str]]:
    """Net, method, mode and options of everything that the workers step."""
    both = MODES[:2]
    found = [("mlp", name, mode, "plain") for name in methods() for mode in both]
    found += [("mlp", name, "local", "plain") for name in MAIN]
    for name in MAIN:
        for mode in both:
            found += [("mlp", name, mode, options) for options in OPTIONS if options != "plain"]
            found += [(net, name, mode, "plain") for net in NETS if net not in ("mlp", "branching")]
            found.append(("branching", name, mode, "unused"))
    return found


def steps(worker: int, net: str, name: str, mode: str, options: str) -> list[dict[str, Any]]:
    """What every step of gradient descent leaves on this worker."""
    method, model = methods()[name], build(net)
    wrapped = DistributedDataParallel(model, **OPTIONS[options])
    found = []
    for step in range(STEPS):
        seed(worker, step)

        def loss_fn() -> Tensor:
            return loss_on(wrapped, worker)

        with wrapped.no_sync() if mode == "local" else nullcontext():
            per_worker = PerWorker(loss_fn, wrapped, method)
            loss = method.backward(
                per_worker if mode == "per-worker" else loss_fn, wrapped.parameters()
            )
        gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
        with torch.no_grad():
            for p in model.parameters():
                if p.grad is not None:
                    p -= RATE * p.grad
        found.append(
            {
                "loss": loss,
                "gradients": gradients,
                "parameters": [p.detach().clone() for p in model.parameters()],
                "buffers": {key: b.clone() for key, b in model.named_buffers()},
            }
        )
    return found


def main(worker: int, folder: Path) -> None:
    """Step through all cases together with the other worker, and write what came of them."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meeting",
        rank=worker,
        world_size=WORKERS,
        timeout=timedelta(seconds=60),
    )
    found = {case: steps(worker, *case) for case in cases()}
    torch.save(found, folder / f"{worker}.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
