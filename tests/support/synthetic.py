"""Cells and records as measurements would give them, with numbers chosen by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gr_bench.experiments.block_times import Times, TimesOptions
from gr_bench.experiments.cell import TimedCell
from gr_bench.experiments.flooding.cell import FloodingCell
from gr_bench.experiments.flooding.record import Order, Pair, Trace
from gr_bench.experiments.generalization.cell import GeneralizationCell
from gr_bench.experiments.generalization.record import EpochResult, Training
from gr_bench.experiments.implicit_bias.cell import ImplicitBiasCell
from gr_bench.experiments.implicit_bias.record import (
    Endpoint,
    Interpolant,
    PredictedFit,
    Solution,
)
from gr_bench.experiments.modified_flow.cell import DATASET, ModifiedFlowCell
from gr_bench.experiments.modified_flow.record import End, Epoch
from gr_bench.experiments.modified_flow.record import Path as FlowPath
from gr_bench.experiments.modified_flow.tables import FLOWS
from gr_bench.experiments.record import Record, failure
from gr_bench.experiments.step_cost.cell import StepCostCell
from gr_bench.experiments.step_cost.record import Counters
from gr_bench.meters.conditions import Conditions
from gr_bench.registry import spell_method
from gr_bench.runs import environment
from gr_bench.runs.store import open_store

TRAINING = GeneralizationCell(
    spec="sgd",
    model="mlp",
    dataset="digits",
    batch_size=32,
    device="cpu",
    dtype="float32",
    threads=1,
    seed=0,
    epochs=2,
    learning_rate=0.1,
    momentum=0.9,
    weight_decay=0.0,
    augmentation="none",
)

COST = StepCostCell(
    spec="sgd",
    model="mlp",
    dataset="digits",
    batch_size=32,
    device="cpu",
    dtype="float32",
    threads=1,
    baseline="sgd",
)

BIAS = ImplicitBiasCell(
    spec="sgd",
    model="diagonal-linear",
    dataset="sparse-regression",
    batch_size=10,
    device="cpu",
    dtype="float64",
    threads=1,
    seed=0,
    alpha=0.1,
    step=1e-3,
    tolerance=1e-5,
    most_steps=1000,
)

FLOOD = FloodingCell(
    spec="flooding(level=1)",
    model="mlp",
    dataset="digits",
    batch_size=32,
    device="cpu",
    dtype="float64",
    threads=1,
    seed=0,
    steps=10,
    learning_rate=0.1,
    fresh=False,
)


FLOW = ModifiedFlowCell(
    spec="sgd",
    model="product",
    dataset=DATASET,
    batch_size=6,
    device="cpu",
    dtype="float64",
    threads=1,
    seed=0,
    batches=1,
    step=0.1,
    part="epoch",
)


def flow_epoch(**fields: Any) -> Epoch:
    """An epoch at a distance of order 2 from the flow, and 3 from the others, unless ``fields`` of
    the record say otherwise; other fields are the cell's.
    """
    found = {key: fields.pop(key) for key in ("length", *FLOWS) if key in fields}
    cell = replace(FLOW, **fields)
    default = {"length": cell.step, "plain": cell.step, "modified": cell.step**2}
    return Epoch(cell=cell, curvature=1.0, **{**default, "full": cell.step**2, **found})


def flow_path(
    large: float | None = 0.8,
    small: float = 1.0,
    small_distance: float = 0.1,
    explicit_distance: float = 0.01,
    **fields: Any,
) -> FlowPath:
    """A path, by the curvatures where it ended and the distances of the ends."""

    def end(curvature: float) -> End:
        return End(loss=0.1, gradient_norm=0.1, curvature=curvature)

    return FlowPath(
        cell=replace(FLOW, **{"part": "path", "time": 10.0, **fields}),
        start_curvature=2.0,
        large=None if large is None else end(large),
        small=end(small),
        explicit=end(large or small),
        small_distance=small_distance,
        explicit_distance=explicit_distance,
    )


def cost(method: str = "sgd", **fields: Any) -> StepCostCell:
    """A step-cost cell."""
    return replace(COST, spec=spell_method(method), **fields)


def counted(
    cell: StepCostCell, *, flops: int = 100, peak: int = 1000, finite: bool = True
) -> Counters:
    """Counters of a model whose parameters take 100 bytes."""
    return Counters(
        cell=cell,
        flops=flops,
        peak_bytes=peak,
        parameter_bytes=100,
        gradient_bytes=100,
        optimizer_state_bytes=100,
        method_bytes=0,
        rest_bytes=peak - 300,
        resident_bytes=10_000,
        parameters=25,
        finite=finite,
    )


def timed(
    cell: TimedCell,
    replicate: int,
    step_s: Sequence[float],
    *,
    began: float = 0.0,
    waited_s: Sequence[float] | None = None,
    spent_s: float = 1.0,
    allocator: str = "held",
    target: float = 0.01,
    most_replicates: int = 10,
    left_s: float | None = None,
    **more: Any,
) -> Times:
    """Samples of one replicate; ``began`` tells two measurements of the same replicate apart.

    ``step_s`` is without the waiting.
    """
    waited = [0.0] * len(step_s) if waited_s is None else waited_s
    fields: dict[str, Any] = {
        "position": tuple([0] * len(step_s)),
        "cpu_s": tuple(step_s),
        "in_samples_s": sum(step_s),
        "machine_flops_per_s": 1e9,
    }
    return Times(
        cell=cell,
        conditions=Conditions(allocator=allocator, denormals_flushed=True),
        replicate=replicate,
        began_unix_s=began,
        steps=1,
        elapsed_s=tuple(s + w for s, w in zip(step_s, waited, strict=True)),
        waited_s=tuple(waited),
        spent_s=spent_s,
        start_s=1.0,
        options=TimesOptions(
            replicate=replicate,
            budget_s=1.0,
            least_rounds=1,
            target=target,
            most_replicates=most_replicates,
            left_s=left_s,
        ),
        **fields | more,
    )


def training(method: str = "sgd", **fields: Any) -> GeneralizationCell:
    """A training's cell."""
    return replace(TRAINING, spec=spell_method(method), **fields)


def trained(
    cell: GeneralizationCell,
    *,
    train: tuple[float, float],
    test: tuple[float, float] | None,
    gradient_norm: float = 0.1,
    validation: Sequence[tuple[float, float]] | None = None,
    steps: int = 10,
    evaluations: int = 1,
) -> Training:
    """A training that ended well, given the losses and accuracies that it ended with.

    Args:
        cell: of the training.
        train: loss and accuracy on the training part, after every epoch.
        test: on the test part; None for a candidate.
        gradient_norm: after every epoch.
        validation: loss and accuracy on the validation part, epoch by epoch.
        steps: in all.
        evaluations: of the gradient, a step.
    """
    curve = tuple(
        EpochResult(
            epoch=epoch,
            train_loss=train[0],
            train_accuracy=train[1],
            validation_loss=loss,
            validation_accuracy=accuracy,
            gradient_norm=gradient_norm,
            parameter_norm=1.0,
        )
        for epoch, (loss, accuracy) in enumerate(validation or [(1.0, 0.5)] * cell.epochs, 1)
    )
    return Training(
        cell=cell,
        curve=curve,
        diverged_step=None,
        test_loss=None if test is None else test[0],
        test_accuracy=None if test is None else test[1],
        steps=steps,
        gradient_evaluations=steps * evaluations,
        training_s=1.0,
        split="by hand",
        trainer="loop",
        runs_together=1,
    )


def step_time(
    cell: GeneralizationCell, replicate: int, step_s: float, *, began: float = 0.0
) -> Times:
    """A replicate of a method's step times, the same in every round; ``began`` tells two
    measurements of the same replicate apart.
    """
    timing = cell if cell.is_control else cell.timing_cell
    return timed(timing, replicate, [step_s] * 3, began=began)


def diverged(cell: GeneralizationCell, step: int, curve: tuple[EpochResult, ...] = ()) -> Training:
    """A training that diverged at a step, after the epochs of ``curve``."""
    return Training(
        cell=cell,
        curve=curve,
        diverged_step=step,
        steps=step,
        gradient_evaluations=step,
        training_s=1.0,
        split="by hand",
        trainer="loop",
        runs_together=1,
    )


def bias(method: str = "sgd", **fields: Any) -> ImplicitBiasCell:
    """A solution's cell."""
    return replace(BIAS, spec=spell_method(method), **fields)


def solved(
    cell: ImplicitBiasCell,
    *,
    ratio: float,
    interpolates: bool = True,
    diverged: bool = False,
    feature_mean: float = 0.0,
    **found: Any,
) -> Solution:
    """A solution of two entries, with α̃/α = ``ratio`` as theory has it and as it was found.

    ``found`` are fields of its endpoint that are otherwise.
    """
    alpha = (cell.alpha * ratio,) * 2
    endpoint = Endpoint(
        residual=1e-6,
        loss=1e-9,
        flow_time=1.0,
        beta=(1.0, 0.5),
        alpha=alpha,
        predicted_alpha=alpha,
        predicted_fit=(
            PredictedFit(beta=(1.0, 0.5), optimality_residual=1e-5) if interpolates else None
        ),
        test_error=0.1,
        least_l1=Interpolant(l1_norm=1.0, l2_norm=1.0, test_error=0.0),
        least_l2=Interpolant(l1_norm=3.0, l2_norm=0.5, test_error=0.5),
    )
    return Solution(
        cell=cell,
        feature_mean=feature_mean,
        steps=100,
        direction_error=1e-9,
        endpoint=None if diverged else replace(endpoint, **found),
    )


def flood(level: float = 1.0, **fields: Any) -> FloodingCell:
    """A trace's cell."""
    return replace(FLOOD, spec=spell_method(f"flooding(level={level})"), **fields)


def traced(
    cell: FloodingCell,
    losses: Sequence[float],
    pairs: Sequence[tuple[int, Order, float]],
    *,
    level: float,
    diverged: bool = False,
) -> Trace:
    """A trace with these losses, and pairs by first step, order and difference."""
    return Trace(
        cell=cell,
        level=level,
        losses=tuple(losses),
        pairs=tuple(
            Pair(step=step, order=order, difference=difference) for step, order, difference in pairs
        ),
        diverged=diverged,
    )


def failed(cell: Any, reason: str = "RuntimeError: no such luck") -> Record:
    """A failure."""
    return failure(cell, reason)


def about_of(**more: Any) -> dict[str, Any]:
    """The description of a run that is still going on."""
    return {
        "name": "synthetic",
        "title": "Synthetic",
        "description": "",
        "suite": {},
        "cells": 1,
        "environment": environment.describe("cpu"),
        "command": ["gr-bench"],
        "started": "now",
        "status": "running",
        **more,
    }


def run_of(folder: Path, *records: Record) -> Path:
    """A run's folder with these records, as if it were still going on."""
    with open_store(folder, about_of(), fresh=False) as store:
        for record in records:
            store.append(record)
    return folder
