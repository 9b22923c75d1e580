"""One process of ``benchmarks.data_parallel``, started by torchrun: times every step in rounds."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn.parallel import DistributedDataParallel

from gr_bench import registry
from gr_bench.experiments.step_cost.cell import StepCostCell
from gr_bench.meters.conditions import hold_still
from gr_bench.meters.device import Device, Work
from gr_bench.meters.get_device import get_device
from gr_bench.methods import METHODS, PerWorker
from gr_bench.timing.clock import Sample, steps_in_a_sample
from gr_bench.timing.rounds import collector_at_rest, in_building_order, interleave
from gr_bench.timing.step import TimedStep, build_step

ALONE, PER_WORKER, SYNCHRONISED = "alone", "per-worker", "synchronised"
CONTROL = "control"
"""SGD a second time: what equal things differ by."""

WARM_UP_STEPS = 5
"""The wrapper sorts its messages anew after the first. The number is fixed: each process would find
itself steady at another step, and all must make as many."""

PROBLEMS = (("mlp(depth=4, width=512)", "digits", 128), ("resnet-8(width=8)", "digits", 32))
"""Model, data set and examples a process: large messages for little work, and the reverse."""


@dataclass
class ParallelStep:
    """A step whose gradients are averaged over processes."""

    step: TimedStep
    wrapped: DistributedDataParallel
    per_worker: bool

    def __call__(self) -> Tensor:
        """One step; returns this process's detached loss before it."""
        training = self.step.training
        loss = training.loss_on(*self.step.batch)
        if self.per_worker:
            loss = PerWorker(loss, self.wrapped, training.method)
        found = training.method.backward(loss, training.model.parameters())
        training.optimizer.step()
        return found


def names() -> list[str]:
    """Every method in every mode: ``METHOD MODE``; SGD has no perturbation to tell two apart."""
    modes = (ALONE, PER_WORKER, SYNCHRONISED)
    found = [f"{spec} {mode}" for spec in METHODS for mode in modes]
    found.remove(f"sgd {PER_WORKER}")
    return [*found, f"sgd {CONTROL}"]


def build(name: str, problem: tuple[str, str, int], device: str) -> Work:
    """The step of that name; all processes have the same batch, so that none has less to do."""
    spec, mode = name.split()
    model, dataset, batch_size = problem
    cell = StepCostCell(
        spec=spec,
        model=model,
        dataset=dataset,
        batch_size=batch_size,
        device=device,
        dtype="float32",
        threads=1,
        baseline="sgd",
    )
    step = build_step(cell, registry)
    if mode == ALONE:
        return step
    ids = [torch.device(device).index] if device != "cpu" else None
    wrapped = DistributedDataParallel(step.training.model, device_ids=ids)
    step.training.forward = wrapped
    return ParallelStep(step, wrapped, per_worker=mode == PER_WORKER)


def read(
    steps: Mapping[str, Work], device: Device, rounds: int, seed: int
) -> dict[str, list[float]]:
    """Seconds a step of this process, by name, (rounds,).

    All processes read the same steps in the same order, begin each sample together and make as many
    steps: a process that made one more would wait for the others' reductions, for ever.
    """

    def take(name: str, count: int) -> Sample:
        def work() -> None:
            for _ in range(count):
                steps[name]()

        distributed.barrier()
        reading = device.time(work)
        seconds = reading.elapsed_s, reading.waited_s, reading.cpu_s
        return Sample(*(each / count for each in seconds))

    counts = {}
    for name, step in steps.items():
        for _ in range(WARM_UP_STEPS):
            step()
        seconds = torch.tensor(take(name, 1).elapsed_s, device=device.torch_device)
        distributed.broadcast(seconds, 0)
        counts[name] = steps_in_a_sample(device, float(seconds))
    with collector_at_rest():
        samples = interleave(
            [list(steps)],
            take,
            counts,
            until=time.monotonic(),  # by the clock processes would not end in the same round
            least_rounds=rounds,
            seed=seed,
        )
    return {name: own.elapsed_s for name, own in samples.items()}


def slowest(own: Mapping[str, list[float]]) -> dict[str, list[float]]:
    """The largest over processes of every entry: a step is done when the last process is."""
    everyone: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(everyone, dict(own))
    return {
        name: [max(times) for times in zip(*(one[name] for one in everyone), strict=True)]
        for name in own
    }


def main() -> None:
    """Append a line with all seconds, written by the first process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--backend", required=True)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--replicate", type=int, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    hold_still("held")
    name = "cpu" if arguments.backend == "gloo" else f"cuda:{os.environ['LOCAL_RANK']}"
    device = get_device(name)
    if name != "cpu":
        torch.cuda.set_device(device.torch_device)
    distributed.init_process_group(arguments.backend)
    found = []
    for problem in PROBLEMS:
        order = in_building_order(names(), arguments.replicate)
        steps = {name: build(name, problem, str(device.torch_device)) for name in order}
        seconds = slowest(read(steps, device, arguments.rounds, arguments.replicate))
        model, dataset, batch_size = problem
        found.append(
            {"model": model, "dataset": dataset, "batch_size": batch_size, "seconds": seconds}
        )
    if distributed.get_rank() == 0:
        line = {
            "processes": distributed.get_world_size(),
            "backend": arguments.backend,
            "load": os.getloadavg()[0],
            "problems": found,
        }
        with arguments.out.open("a") as file:
            file.write(json.dumps(line) + "\n")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
