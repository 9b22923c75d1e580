"""Journals of gr-bench 0.1: a line of every kind and experiment, its lists cut short."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from gr_bench.experiments.block_times import Times, TimesOptions
from gr_bench.experiments.flooding.cell import FloodingCell
from gr_bench.experiments.flooding.record import Pair, Trace
from gr_bench.experiments.generalization.cell import GeneralizationCell
from gr_bench.experiments.generalization.record import Curvature, EpochResult, Training
from gr_bench.experiments.implicit_bias.cell import ImplicitBiasCell
from gr_bench.experiments.implicit_bias.record import (
    Endpoint,
    Interpolant,
    PredictedFit,
    Solution,
)
from gr_bench.experiments.lines import decode
from gr_bench.experiments.record import Failure, Record
from gr_bench.experiments.step_cost.cell import StepCostCell
from gr_bench.experiments.step_cost.record import Counters
from gr_bench.meters.conditions import Conditions
from gr_bench.meters.device_state import DeviceState
from gr_bench.meters.operators import Operator

LINES = (Path(__file__).parent / "journal_0_1.jsonl").read_text().splitlines()
HELD = Conditions(allocator="held", denormals_flushed=True)
PINNED = replace(HELD, processors=(1,))
MNIST1D = "the generator's 20 % for test; of the rest, 80/20 % train/validation, stratified, seed 0"

F_GR = StepCostCell(
    spec="f-gr(gamma=0.1, epsilon=0.05)",
    model="mlp(depth=4, width=512)",
    dataset="digits",
    batch_size=32,
    device="cpu",
    dtype="float32",
    threads=1,
    compiled=False,
    baseline="sgd",
    allocator="held",
    control=False,
)
SAM = GeneralizationCell(
    spec="sam(rho=0.05)",
    model="mlp(depth=4, width=128)",
    dataset="mnist1d",
    batch_size=64,
    device="cpu",
    dtype="float32",
    threads=1,
    compiled=False,
    seed=3,
    epochs=40,
    learning_rate=0.1,
    momentum=0.9,
    weight_decay=1e-4,
    schedule="cosine",
    augmentation="none",
    label_noise=0.0,
    sharpness=False,
    role="run",
)


def epoch(number: int, train: tuple[float, float], validation: tuple[float, float], *norms: float):
    return EpochResult(
        epoch=number,
        train_loss=train[0],
        train_accuracy=train[1],
        validation_loss=validation[0],
        validation_accuracy=validation[1],
        gradient_norm=norms[0],
        parameter_norm=norms[1],
    )


EXPECTED: list[Record] = [
    Counters(
        cell=F_GR,
        conditions=HELD,
        flops=211_681_280,
        predicted_flops=211_681_280,
        predicted_extra_low_bytes=2_254_888,
        predicted_extra_high_bytes=4_514_832,
        predicted_peak_low_bytes=None,
        peak_bytes=10_345_836,
        parameter_bytes=2_254_888,
        gradient_bytes=2_254_888,
        optimizer_state_bytes=2_254_888,
        method_bytes=2_254_888,
        rest_bytes=1_326_284,
        resident_bytes=505_778_176,
        parameters=563_722,
        finite=True,
    ),
    Times(
        cell=replace(
            F_GR, spec="sgd", model="mlp(depth=8, width=512)", batch_size=128, control=True
        ),
        conditions=PINNED,
        replicate=0,
        began_unix_s=1795527854.1065924,
        steps=1,
        elapsed_s=(0.01374, 0.01415, 0.0138),
        waited_s=(0.0, 0.0, 0.0),
        cpu_s=(0.01375, 0.01416, 0.0138),
        position=(1, 2, 3),
        machine_flops_per_s=104784741926.28697,
        in_samples_s=0.884,
        spent_s=4.516,
        start_s=None,
        options=TimesOptions(
            replicate=0, budget_s=1.5, least_rounds=5, target=0.01, most_replicates=5
        ),
        state_before=DeviceState(load=3.622, clock_mhz=2596.0),
        state_after=DeviceState(load=3.622, clock_mhz=2596.0),
        operators=(Operator("aten::mm", 15.0, 0.007919), Operator("aten::addmm", 8.0, 0.003917)),
    ),
    Training(
        cell=replace(SAM, spec="b-gr(gamma=0.1, epsilon=0.05)", batch_size=128, seed=0, epochs=15),
        conditions=HELD,
        test_loss=1.161,
        test_accuracy=0.529,
        steps=375,
        gradient_evaluations=750,
        training_s=0.7059,
        diverged_step=None,
        split=MNIST1D,
        trainer="loop",
        runs_together=1,
        curve=(
            epoch(1, (1.903, 0.2012), (1.921, 0.2013), 0.462, 11.77),
            epoch(2, (1.692, 0.3444), (1.729, 0.335), 0.3282, 12.17),
        ),
    ),
    Training(
        cell=replace(
            SAM,
            spec="b-gr(gamma=0.3, epsilon=0.05)",
            dataset="digits",
            seed=101,
            epochs=20,
            role="candidate",
        ),
        conditions=HELD,
        test_loss=None,
        test_accuracy=None,
        steps=106,
        gradient_evaluations=212,
        training_s=0.2561,
        diverged_step=106,
        split="60/20/20 % train/validation/test, stratified, seed 0",
        trainer="fleet",
        runs_together=18,
        curve=(epoch(1, (1.916, 0.4791), (1.922, 0.4708), 0.5086, 11.69),),
    ),
    Training(
        cell=replace(
            SAM,
            spec="db-gr(gamma=0.1)",
            model="mlp(depth=3, width=64)",
            seed=0,
            epochs=20,
            sharpness=True,
        ),
        conditions=HELD,
        test_loss=1.025,
        test_accuracy=0.615,
        sharpness=Curvature(
            largest_eigenvalue=2.476, trace=84.91, trace_error=1.929, tolerance=0.001, products=38
        ),
        steps=1000,
        gradient_evaluations=3000,
        training_s=0.3547,
        diverged_step=None,
        split=MNIST1D,
        trainer="fleet",
        runs_together=5,
        curve=(epoch(1, (1.734, 0.3084), (1.782, 0.2912), 0.4435, 8.04),),
    ),
    Times(
        cell=SAM.timing_cell,
        conditions=PINNED,
        replicate=0,
        began_unix_s=0.0,
        steps=1,
        elapsed_s=(0.0009089, 0.0008606, 0.0008695),
        waited_s=(0.0, 0.0, 0.0),
        cpu_s=(0.0009089, 0.0008606, 0.0008695),
        position=(0, 1, 2),
        machine_flops_per_s=math.nan,
        in_samples_s=0.0,
        spent_s=0.0,
        start_s=None,
        options=TimesOptions(
            replicate=0, budget_s=1.5, least_rounds=5, target=0.01, most_replicates=5
        ),
    ),
    Solution(
        cell=ImplicitBiasCell(
            spec="db-gr(gamma=0.05)",
            model="diagonal-linear",
            dataset="sparse-regression(feature_mean=0.0)",
            batch_size=10,
            device="cpu",
            dtype="float64",
            threads=1,
            compiled=False,
            seed=0,
            alpha=0.1,
            step=0.0002,
            tolerance=1e-05,
            most_steps=500_000,
        ),
        conditions=HELD,
        feature_mean=0.0,
        steps=14031,
        direction_error=2.107e-11,
        endpoint=Endpoint(
            residual=9.992e-06,
            loss=1.429e-11,
            flow_time=348.7,
            beta=(0.08754, 0.3868),
            alpha=(0.09954, 0.09606),
            predicted_alpha=(0.09955, 0.09608),
            predicted_fit=PredictedFit(beta=(0.08755, 0.3867), optimality_residual=1.229e-05),
            test_error=0.5928,
            least_l1=Interpolant(l1_norm=1.414, l2_norm=1.0, test_error=3.575e-31),
            least_l2=Interpolant(l1_norm=1.829, l2_norm=0.4905, test_error=0.7595),
        ),
    ),
    Trace(
        cell=FloodingCell(
            spec="flooding(level=0.2)",
            model="mlp(depth=3, width=64)",
            dataset="digits",
            batch_size=256,
            device="cpu",
            dtype="float64",
            threads=1,
            compiled=False,
            seed=1,
            steps=400,
            learning_rate=0.5,
            fresh=False,
        ),
        conditions=HELD,
        level=0.2,
        losses=(2.329, 2.27, 2.216),
        pairs=(
            Pair(step=33, order="descent, ascent", difference=1.445e-15),
            Pair(step=35, order="ascent, descent", difference=2.048e-15),
        ),
        diverged=False,
    ),
    Failure(
        cell=replace(F_GR, spec="db-gr(gamma=0.1)", compiled=True),
        conditions=HELD,
        reason="Unsupported: db-gr differentiates twice, which torch.compile does not allow",
        unsupported=True,
    ),
]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param(line, record, id=f"{record.cell.experiment} {record.kind} {record.cell.spec}")
        for line, record in zip(LINES, EXPECTED, strict=True)
    ],
)
def test_a_line_of_version_0_1_is_the_record_that_it_was(line: str, expected: Record) -> None:
    """By what it prints: a NaN equals no other."""
    assert repr(decode(line)) == repr(expected)
