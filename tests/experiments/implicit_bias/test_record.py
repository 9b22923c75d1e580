"""The record of a solution as JSON, and as version 0.1 wrote it."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
from pydantic import TypeAdapter
from synthetic import bias, solved

from gr_bench.experiments.implicit_bias.cell import ImplicitBiasGrid
from gr_bench.experiments.implicit_bias.experiment import ImplicitBias
from gr_bench.experiments.implicit_bias.record import Solution
from gr_bench.experiments.record import Progress

ADAPTER = TypeAdapter(Solution)


def decoded(record: Solution) -> Solution:
    """A record after its way through JSON."""
    fields = json.loads(json.dumps(dataclasses.asdict(record)))
    return ADAPTER.validate_python({**fields, "cell": record.cell})


@pytest.mark.parametrize("how", [{}, {"interpolates": False}, {"diverged": True}])
def test_a_record_is_equal_to_itself_after_json(how: dict) -> None:
    record = solved(bias("f-gr"), ratio=0.9, loss=0.1 + 0.2, **how)
    assert decoded(record) == record


def test_numbers_that_are_not_finite_survive_json() -> None:
    record = decoded(solved(bias("f-gr"), ratio=math.nan, loss=math.inf))
    assert math.isnan(record.endpoint.predicted_alpha[1])
    assert record.endpoint.loss == math.inf


@pytest.mark.parametrize("method", ["sgd", "flooding(level=0.1)"])
def test_what_is_measured_is_plain_data(method: str) -> None:
    grid = ImplicitBiasGrid(
        methods=[method],
        problems=["sparse-regression(samples=2, features=4)"],
        seeds=[0],
        step=0.1,
        most_steps=5,
    )
    experiment = ImplicitBias()
    (job,) = experiment.pending(grid, experiment.cells(grid), [])
    results = list(experiment.measure(job.units[0]))
    (record,) = (result for result in results if not isinstance(result, Progress))
    assert decoded(record) == record


# --- version 0.1

OLD = {
    "feature_mean": 1.0,
    "steps": 7,
    "diverged": False,
    "residual": 1e-6,
    "loss": 1e-9,
    "time": 2.5,
    "interpolates": True,
    "beta": [1.0, 2.0],
    "alpha": [0.1, 0.2],
    "predicted_alpha": [0.3, 0.4],
    "test_error": 0.5,
    "ends": {
        "least_l1": {"l1_norm": 1.0, "l2_norm": 2.0, "test_error": 3.0},
        "least_l2": {"l1_norm": 4.0, "l2_norm": 5.0, "test_error": 6.0},
    },
    "predicted_beta": [1.5, 2.5],
    "optimality_residual": 1e-5,
    "direction_error": 1e-8,
    "conditions": {"threads": 1},
}


def from_0_1(data: dict) -> Solution:
    return ADAPTER.validate_python({"cell": bias("f-gr"), **Solution.from_0_1(data)})


def test_every_number_of_a_record_of_version_0_1_is_kept() -> None:
    record = from_0_1(OLD)
    end, fit = record.endpoint, record.endpoint.predicted_fit
    assert (record.feature_mean, record.steps, record.direction_error) == (1.0, 7, 1e-8)
    assert (end.residual, end.loss, end.flow_time, end.test_error) == (1e-6, 1e-9, 2.5, 0.5)
    assert (end.beta, end.alpha, end.predicted_alpha) == ((1.0, 2.0), (0.1, 0.2), (0.3, 0.4))
    assert (fit.beta, fit.optimality_residual) == ((1.5, 2.5), 1e-5)
    assert dataclasses.astuple(end.least_l1) == (1.0, 2.0, 3.0)
    assert dataclasses.astuple(end.least_l2) == (4.0, 5.0, 6.0)


def test_version_0_1_had_fewer_keys_for_flooding_and_for_a_run_that_diverged() -> None:
    without_theory = {
        key: value
        for key, value in OLD.items()
        if key not in ("predicted_beta", "optimality_residual")
    }
    flooded = from_0_1(without_theory | {"interpolates": False})
    assert flooded.endpoint.predicted_fit is None
    assert flooded.status == "flooded"
    kept = ("feature_mean", "steps", "direction_error")
    lost = from_0_1({key: OLD[key] for key in kept} | {"diverged": True})
    assert lost.endpoint is None
    assert lost.status == "diverged"
