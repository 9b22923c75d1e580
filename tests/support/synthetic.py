"""Cells and records as measurements would give them, with numbers chosen by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gr_bench.experiments.base import Record, failure
from gr_bench.experiments.flooding.cell import FloodingCell
from gr_bench.experiments.generalization.cell import GeneralizationCell
from gr_bench.experiments.implicit_bias.cell import ImplicitBiasCell
from gr_bench.experiments.step_cost.cell import StepCostCell
from gr_bench.registry import spell_method
from gr_bench.runs import environment
from gr_bench.runs.store import open_store

TRAINING = GeneralizationCell(
    method="sgd",
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
    method="sgd",
    model="mlp",
    dataset="digits",
    batch_size=32,
    device="cpu",
    dtype="float32",
    threads=1,
    baseline="sgd",
)

BIAS = ImplicitBiasCell(
    method="sgd",
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
    method="flooding(level=1)",
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


def cost(method: str = "sgd", **fields: Any) -> StepCostCell:
    """A step-cost cell."""
    return replace(COST, method=spell_method(method), **fields)


def counted(
    cell: StepCostCell, *, flops: int = 100, peak: int = 1000, finite: bool = True
) -> Record:
    """Counters of a model whose parameters take 100 bytes."""
    data = {
        "flops": flops,
        "peak_bytes": peak,
        "parameter_bytes": 100,
        "gradient_bytes": 100,
        "optimizer_state_bytes": 100,
        "method_bytes": 0,
        "rest_bytes": peak - 300,
        "resident_bytes": 10_000,
        "parameters": 25,
        "finite": finite,
    }
    return Record(cell, "counters", data)


def timed(
    cell: StepCostCell, replicate: int, step_s: Sequence[float], *, began: float = 0.0, **more: Any
) -> Record:
    """Samples of one replicate; ``began`` tells two measurements of the same replicate apart."""
    rounds = len(step_s)
    data = {
        "replicate": replicate,
        "target_half_width": 0.01,
        "most_replicates": 10,
        "budget_minutes": None,
        "steps": 1,
        "step_s": list(step_s),
        "wall_s": list(step_s),
        "cpu_s": list(step_s),
        "position": [0] * rounds,
        "began_unix_s": began,
        "machine_flops_per_s": 1e9,
        "spent_s": 1.0,
        "conditions": {"allocator": cell.allocator, "denormals_flushed": True},
    }
    return Record(cell, "times", data | more)


def training(method: str = "sgd", **fields: Any) -> GeneralizationCell:
    """A training's cell."""
    return replace(TRAINING, method=spell_method(method), **fields)


def trained(
    cell: GeneralizationCell,
    *,
    train: tuple[float, float],
    test: tuple[float, float],
    gradient_norm: float = 0.1,
) -> Record:
    """A training that ended well, given the losses and accuracies that it ended with."""
    last = {
        "train_loss": train[0],
        "train_accuracy": train[1],
        "validation_loss": 1.0,
        "validation_accuracy": 0.5,
        "gradient_norm": gradient_norm,
    }
    curve = [{"epoch": epoch, **last} for epoch in range(1, cell.epochs + 1)]
    data = {
        "steps": 10,
        "gradient_evaluations": 10,
        "training_s": 1.0,
        "diverged_step": None,
        "split": "by hand",
        "curve": curve,
        "test_loss": test[0],
        "test_accuracy": test[1],
    }
    return Record(cell, "training", data)


def step_time(cell: GeneralizationCell, replicate: int, ratio: float, step_s: float) -> Record:
    """A replicate of a method's step times, ``ratio`` times SGD's in every round."""
    data = {"replicate": replicate, "step_s": [step_s] * 3, "log_ratios": [math.log(ratio)] * 3}
    return Record(cell.timed, "step time", data)


def diverged(cell: GeneralizationCell, step: int) -> Record:
    """A training that ended at a step of its first epoch."""
    data = {
        "steps": step,
        "gradient_evaluations": step,
        "training_s": 1.0,
        "diverged_step": step,
        "split": "by hand",
        "curve": [],
    }
    return Record(cell, "training", data)


def bias(method: str = "sgd", **fields: Any) -> ImplicitBiasCell:
    """A solution's cell."""
    return replace(BIAS, method=spell_method(method), **fields)


def solved(
    cell: ImplicitBiasCell,
    *,
    ratio: float,
    residual: float = 1e-6,
    test_error: float = 0.1,
    feature_mean: float = 0.0,
    interpolates: bool = True,
    diverged: bool = False,
) -> Record:
    """A solution of two entries, with α̃/α = ``ratio`` as theory has it and as it was found."""
    alpha = [cell.alpha * ratio] * 2
    data = {
        "feature_mean": feature_mean,
        "steps": 100,
        "diverged": diverged,
        "direction_error": 1e-9,
        "residual": residual,
        "loss": 1e-9,
        "time": 1.0,
        "interpolates": interpolates,
        "beta": [1.0, 0.5],
        "alpha": alpha,
        "predicted_alpha": alpha,
        "test_error": test_error,
        "ends": {
            "least_l1": {"l1_norm": 1.0, "l2_norm": 1.0, "test_error": 0.0},
            "least_l2": {"l1_norm": 3.0, "l2_norm": 0.5, "test_error": 0.5},
        },
    }
    if interpolates:
        data |= {"predicted_beta": [1.0, 0.5], "optimality_residual": 1e-5}
    return Record(cell, "solution", data)


def flood(level: float = 1.0, **fields: Any) -> FloodingCell:
    """A trace's cell."""
    return replace(FLOOD, method=spell_method(f"flooding(level={level})"), **fields)


def traced(
    cell: FloodingCell,
    losses: Sequence[float],
    pairs: Sequence[tuple[int, str, float]],
    *,
    level: float,
    diverged: bool = False,
) -> Record:
    """A trace with these losses, and pairs by first step, order and difference."""
    keys = ("step", "order", "difference")
    found = [dict(zip(keys, pair, strict=True)) for pair in pairs]
    data = {"level": level, "losses": list(losses), "pairs": found, "diverged": diverged}
    return Record(cell, "trace", data)


def failed(cell: Any, reason: str = "RuntimeError: no such luck") -> Record:
    """A failure."""
    return failure(cell, reason)


def run_of(folder: Path, *records: Record) -> Path:
    """A run's folder with these records, as if it were still going on."""
    about: dict[str, Any] = {
        "name": "synthetic",
        "title": "Synthetic",
        "description": "",
        "suite": {},
        "cells": 1,
        "environment": environment.describe("cpu"),
        "command": ["gr-bench"],
        "started": "now",
        "status": "running",
    }
    with open_store(folder, about, fresh=False) as store:
        for record in records:
            store.append(record)
    return folder
