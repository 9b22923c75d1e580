"""Fleet or loop: decided by memory and by measuring, once for every sort of training."""

from __future__ import annotations

import fcntl
import json
import math
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from gr_bench.experiments.generalization.cell import (
    GeneralizationCell,
    TrainerChoice,
    has_fleet,
)
from gr_bench.experiments.generalization.training.checkpoint import Piece
from gr_bench.experiments.generalization.training.fleet import Fleet
from gr_bench.experiments.generalization.training.loop import Loop
from gr_bench.experiments.generalization.training.pieces import DOUBLE_BACKPROP_GRAPHS
from gr_bench.experiments.generalization.training.splits import SplitLoader, Splits
from gr_bench.experiments.generalization.training.trainer import Trainer
from gr_bench.files import write_whole
from gr_bench.meters import hardware
from gr_bench.meters.device import Device
from gr_bench.meters.memory import saved_bytes
from gr_bench.optimizers import SGD
from gr_bench.spec import parse
from gr_bench.timing.clock import settle_and_warm_up, take_sample
from gr_bench.timing.replicates import log_ratio
from gr_bench.timing.rounds import interleave
from gr_bench.timing.step import MIXED
from gr_bench.workloads.datasets import Dataset

TRIALS = 5
"""Samples of either trainer that are timed, in alternation, to choose between them."""

WARM_UP_S = 0.5
"""Of either trainer, at most, unless a single step takes longer."""

GAIN = 1.1
"""A fleet must be this many times as fast as the loop."""

COPIES = {SGD: 7, "adamw": 9}
"""Parameter copies of a run in a fleet, by optimizer: θ, velocity, θ', two gradients, one that the
method keeps, one in between; AdamW has two means in the place of a velocity, and one more in
between."""

FILE = "trainers.json"

DECISIVE = ("model", "dataset", "batch_size", "device", "dtype", "threads", "momentum")
"""Fields of a cell that bear on which of the two is the faster."""


def divide(cells: Piece, loader: SplitLoader, device: Device, how: TrainerChoice) -> list[Piece]:
    """The cells in fleets as large as the memory allows; singly, if the loop is to train them.

    Args:
        cells: alike in everything but seeds, learning rate and the numbers of their method.
        loader: of their data.
        device: where they are trained.
        how: ``fleet``, ``loop``, or ``auto`` for whichever steps faster here, measured once.
    """
    groups = loader.groups(cells)
    return [piece for own in groups for piece in _divide(own, loader.load(own), device, how)]


def _divide(cells: Piece, data: Splits, device: Device, how: TrainerChoice) -> list[Piece]:
    alone: list[Piece] = [[cell] for cell in cells]
    # 16 bits round the two by per cents apart
    rounds_apart = cells[0].dtype in MIXED
    one_by_one = len(cells) == 1 or rounds_apart or not has_fleet(cells[0].optimizer)
    if how == "loop" or (how == "auto" and one_by_one):
        return alone
    together = in_memory(cells, data, device)
    if how == "fleet":
        return together
    if len(together) == len(cells):
        return alone

    def decide() -> bool:
        loop, fleet = Loop(cells[0], data, device), Fleet(together[0], data, device)
        return _gain(loop, fleet) > GAIN

    try:
        is_faster = cached_choice(cells[0], len(together[0]), device, decide)
    except Exception as error:  # a method or a model that cannot be vectorised
        print(f"trained one by one: {type(error).__name__}: {error}", file=sys.stderr)
        return alone
    return together if is_faster else alone


def in_memory(cells: Piece, data: Dataset | Splits, device: Device) -> list[Piece]:
    """The cells in as few pieces as the device's memory allows, of one size."""
    most = max(1, device.spare_bytes() // _bytes_a_run(Loop(cells[0], data, device)))
    count = math.ceil(len(cells) / most)
    size = math.ceil(len(cells) / count)
    return [cells[i : i + size] for i in range(0, len(cells), size)]


def _bytes_a_run(loop: Loop) -> int:
    """About what a step of one run takes of a fleet's memory; an evaluation is cut to fit."""
    inputs, targets = (tensor[0] for tensor in next(loop.batches()))
    model = loop.training.model
    activations = saved_bytes(lambda: loop.training.loss_on(inputs, targets)())
    graphs = DOUBLE_BACKPROP_GRAPHS if loop.training.method.needs_second_derivatives else 1
    copies = COPIES[parse(loop.cells[0].optimizer).name]
    return graphs * activations + copies * sum(p.nbytes for p in model.parameters())


def _gain(loop: Loop, fleet: Fleet) -> float:
    """The loop's time for a run over the fleet's, from alternating steps of the two.

    Raises:
        ValueError: the fleet's first run has other gradients or buffers than the loop's: a model or
            a method that cannot be vectorised, though it runs; or one that draws random numbers.
    """
    trainers: dict[str, Trainer] = {"loop": loop, "fleet": fleet}
    steps = {
        name: partial(trainer.step, *next(trainer.batches()), rate=0.0)
        for name, trainer in trainers.items()
    }
    for step in steps.values():
        step()
    _check_alike(loop, fleet)
    samples = interleave(
        [list(steps)],
        lambda name, count: take_sample(loop.device, steps[name], count),
        {name: settle_and_warm_up(loop.device, step, WARM_UP_S) for name, step in steps.items()},
        until=0.0,
        least_rounds=TRIALS,
        seed=0,
    )
    ratio = math.exp(log_ratio(samples["loop"].step_s, samples["fleet"].step_s))
    return ratio * len(fleet.cells)


def _check_alike(loop: Loop, fleet: Fleet) -> None:
    """Compare the first run of a fleet with that of a loop, after one step of either.

    Raises:
        ValueError: as in :func:`_gain`.
    """
    for name, p in loop.training.model.named_parameters():
        own = fleet.params[name].grad
        if (p.grad is None) != (own is None) or (
            p.grad is not None and own is not None and _differ(own[0], p.grad)
        ):
            raise ValueError(f"gradient of {name} differs from the loop's")
    for name, buffer in loop.training.model.named_buffers():
        if _differ(fleet.buffers[name][0], buffer):
            raise ValueError(f"{name} differs from the loop's")


def _differ(a: Tensor, b: Tensor) -> bool:
    """True if two tensors differ by more than rounding; in bfloat16, by a tenth."""
    tolerance = max(1e-3, 10 * torch.finfo(a.dtype).eps) if a.is_floating_point() else 0.0
    return bool((a.double() - b.double()).norm() > tolerance * b.double().norm())


def cached_choice(
    cell: GeneralizationCell, runs: int, device: Device, decide: Callable[[], bool]
) -> bool:
    """The first decision whether runs like ``cell`` are to be trained together.

    The two trainers give the same results but for rounding, which grows on the way; where they are
    about as fast, chance would choose between them, and a suite that is run again would end
    otherwise in the last digits. So what was decided is kept in the user's cache folder
    (``trainers.json``), for this device and processor, PyTorch, sort of training and number of
    runs.

    Args:
        cell: one of them.
        runs: how many are together.
        device: where they are trained.
        decide: measures; called unless it is known.
    """
    import pooch  # it takes a tenth of a second, and a process that times steps needs it not

    fields = asdict(cell)
    sort = [parse(cell.spec).frame, *(fields[key] for key in DECISIVE), runs]
    if cell.optimizer != SGD:  # what was decided before there were others is still known
        sort.append(parse(cell.optimizer).name)
    processor = hardware.processor()
    here = (device.describe().get("name"), processor.family, processor.model, processor.stepping)
    sources = sorted(cell.sources.values())  # of plug-ins, which may be changed
    key = json.dumps([*sort, *here, torch.__version__, *sources])
    folder = Path(pooch.os_cache("gr-bench"))
    known = _read(folder)
    if key in known:
        return known[key]
    decision = decide()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / f".{FILE}.lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            known = _read(folder)
            decision = known.setdefault(key, decision)  # another process may have been first
            text = json.dumps(known, indent=1)
            write_whole(folder / FILE, lambda file: file.write(text.encode()))
    except OSError:  # nowhere to keep it: it will be decided anew
        pass
    return decision


def _read(folder: Path) -> dict[str, bool]:
    try:
        known = json.loads((folder / FILE).read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
