"""Records of trainings on their way through the journal, of this version and of 0.1."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from synthetic import diverged, trained, training

from gr_bench.experiments.generalization.record import Curvature, EpochResult, Training

CURVATURE = Curvature(
    largest_eigenvalue=3.0, trace=9.0, trace_error=0.5, tolerance=1e-3, products=40
)


def journey(record: Training) -> Training:
    """The record as it comes back from a line of JSON."""
    fields = asdict(record)
    del fields["cell"]
    plain = json.loads(json.dumps(fields))
    return TypeAdapter(Training).validate_python({"cell": record.cell, **plain})


@pytest.mark.parametrize(
    "record",
    [
        trained(training("f-gr"), train=(0.1, 1.0), test=(0.5, 0.8)),
        trained(training(), train=(0.1, 1.0), test=None),
        diverged(training(), 7),
        replace(trained(training(), train=(0.1, 1.0), test=(0.5, 0.8)), sharpness=CURVATURE),
        replace(diverged(training(), 7), sharpness_error="no convergence"),
    ],
)
def test_a_record_comes_back_from_the_journal_as_it_was(record: Training) -> None:
    assert journey(record) == record


@given(st.floats(), st.floats())
def test_every_float_survives_the_journal(loss: float, norm: float) -> None:
    """To the bit; infinities and NaN, which equals nothing, included."""
    record = trained(training(), train=(loss, 1.0), test=(loss, 0.8), gradient_norm=norm)
    again = journey(record)
    found = (again.curve[0].train_loss, again.test_loss, again.curve[0].gradient_norm)
    for value, expected in zip(found, (loss, loss, norm), strict=True):
        assert value is not None
        assert value == expected or (math.isnan(value) and math.isnan(expected))


@pytest.mark.parametrize(
    "change", [{"trainer": "bench"}, {"curve": [{"epoch": 1}]}, {"steps": "many"}]
)
def test_a_line_that_is_no_training_is_refused(change: dict[str, Any]) -> None:
    fields = asdict(diverged(training(), 7)) | change | {"cell": training()}
    with pytest.raises(ValidationError):
        TypeAdapter(Training).validate_python(fields)


POINT = {
    "epoch": 1,
    "train_loss": 0.25,
    "train_accuracy": 1.0,
    "validation_loss": 0.5,
    "validation_accuracy": 0.75,
    "gradient_norm": 0.125,
    "parameter_norm": 2.0,
}
OF_0_1 = {
    "steps": 10,
    "gradient_evaluations": 20,
    "training_s": 1.5,
    "diverged_step": None,
    "split": "by hand",
    "trainer": "fleet",
    "runs_together": 5,
    "curve": [POINT],
    "test_loss": 0.5,
    "test_accuracy": 0.8,
}
HESSIAN = {
    "tolerance": 1e-3,
    "largest_eigenvalue": 3.0,
    "trace": 9.0,
    "trace_error": 0.5,
    "products": 40,
}


def from_0_1(data: dict[str, Any]) -> Training:
    cell = training("f-gr", epochs=1)
    return TypeAdapter(Training).validate_python({"cell": cell, **Training.from_0_1(data)})


def test_a_training_of_version_0_1_keeps_all_that_it_says() -> None:
    found = from_0_1(OF_0_1 | HESSIAN)
    assert found == Training(
        cell=training("f-gr", epochs=1),
        curve=(EpochResult(**POINT),),
        diverged_step=None,
        test_loss=0.5,
        test_accuracy=0.8,
        sharpness=CURVATURE,
        steps=10,
        gradient_evaluations=20,
        training_s=1.5,
        split="by hand",
        trainer="fleet",
        runs_together=5,
    )


def test_a_training_of_version_0_1_need_not_have_a_hessian_or_a_test_result() -> None:
    assert from_0_1(OF_0_1).sharpness is None
    lost = {k: v for k, v in OF_0_1.items() if not k.startswith("test_")}
    found = from_0_1(lost | {"diverged_step": 10, "curve": []})
    assert (found.diverged, found.curve, found.test_loss) == (True, (), None)
    assert from_0_1(OF_0_1 | {"sharpness_error": "none"}).sharpness_error == "none"
