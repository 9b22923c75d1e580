"""Trainings that really run, on problems that take no time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from synthetic import diverged, failed, training

from gr_bench import registry
from gr_bench.experiments.generalization.cell import (
    GeneralizationCell,
    GeneralizationGrid,
    TrainerChoice,
)
from gr_bench.experiments.generalization.experiment import Generalization
from gr_bench.experiments.generalization.options import TrainingOptions
from gr_bench.experiments.generalization.record import Training
from gr_bench.experiments.generalization.training import train
from gr_bench.experiments.generalization.training.loop import Loop
from gr_bench.experiments.generalization.training.train import train_all
from gr_bench.experiments.record import Failure, Progress, Record
from gr_bench.meters.get_device import get_device
from gr_bench.timing.step import load_data

TINY: dict[str, Any] = {
    "model": "mlp(depth=2, width=8)",
    "dataset": "plugged:blobs",
    "batch_size": 32,
    "epochs": 3,
}
STEPS = 3 * 3  # 96 training examples, 32 a step
STILL = 1e-30
"""A learning rate at which no float32 parameter moves."""


def run(method: str = "sgd", **settings: Any) -> Training:
    *progress, result = train_all([training(method, **TINY | settings)], "loop")
    assert all(isinstance(step, Progress) for step in progress)
    assert isinstance(result, Training)
    return result


def results(record: Training, *others: str) -> dict[str, Any]:
    """Everything but the cell, the time and the fields named."""
    return {k: v for k, v in vars(record).items() if k not in ("cell", "training_s", *others)}


# --- what a training gives


def test_a_training_learns() -> None:
    found = run(epochs=10)
    assert not found.diverged
    assert found.curve[-1].train_loss < 0.5 * found.curve[0].train_loss
    assert found.test_accuracy is not None
    assert found.test_accuracy > 0.8


@pytest.mark.parametrize("method", ["sgd", "f-gr", "db-gr"])
def test_the_same_cell_gives_the_same_record(method: str) -> None:
    assert results(run(method)) == results(run(method))


def test_what_was_drawn_before_has_no_influence() -> None:
    first = run("sam")
    torch.manual_seed(99)
    torch.rand(7)
    assert results(run("sam")) == results(first)


def test_every_method_sees_the_same_batches() -> None:
    """Also one that draws random numbers: the order of the examples is drawn apart."""
    assert results(run("plugged:Drawing")) == results(run("sgd"))


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"learning_rate": 0.05}, {"momentum": 0.0}, {"weight_decay": 0.1}]
)
def test_every_setting_changes_the_curve(change: dict[str, float]) -> None:
    assert run().curve != run(**change).curve


def test_progress_is_told_after_every_epoch() -> None:
    told = train_all([training(**TINY)], "loop")
    assert [step.part for step in told if isinstance(step, Progress)] == pytest.approx(
        [1 / 3, 2 / 3, 1]
    )


@pytest.mark.parametrize(
    ("method", "evaluations"), [("sgd", 1), ("sam", 2), ("f-gr", 2), ("b-gr", 2), ("db-gr", 3)]
)
def test_steps_and_gradient_evaluations_are_counted(method: str, evaluations: int) -> None:
    found = run(method)
    assert (found.steps, found.gradient_evaluations) == (STEPS, STEPS * evaluations)


@pytest.mark.parametrize(
    ("method", "more"),
    [
        ("late(sam, share=0.2)", 2),  # of 9 steps the last 1.8, rounded
        ("warmup(c-gr, share=0.5)", 5 * 2),
        ("every(db-gr, k=4)", 3 * 2),  # steps 0, 4 and 8
        ("late(every(sam, k=2), share=0.5)", 2),
        ("ramp(f-gr)", 9),
        ("late(f-gr(gamma=0), share=0.5)", 0),
    ],
)
def test_the_passes_of_steps_that_differ_are_counted_one_by_one(method: str, more: int) -> None:
    assert run(method).gradient_evaluations == STEPS + more


def test_a_method_in_no_step_trains_as_sgd_and_in_every_step_as_itself() -> None:
    assert results(run("late(sam(rho=1), share=0)")) == results(run())
    for text in (
        "late(sam(rho=1), share=1)",
        "warmup(sam(rho=1), share=0)",
        "every(sam(rho=1), k=1)",
    ):
        assert results(run(text)) == results(run("sam(rho=1)"))
    assert results(run("late(sam(rho=1))")) != results(run())


def test_micro_batches_train_as_the_mini_batch() -> None:
    whole, parts = run("f-gr", dtype="float64"), run("accumulated(f-gr)", dtype="float64")
    assert parts.gradient_evaluations == whole.gradient_evaluations
    for ours, theirs in zip(parts.curve, whole.curve, strict=True):
        assert ours.train_loss == pytest.approx(theirs.train_loss, rel=1e-9)


def test_a_mini_batch_that_does_not_divide_and_a_name_that_is_none_are_failures() -> None:
    for text, reason in (
        ("accumulated(sam, parts=3)", "a mini-batch of 32 cannot be cut into 3 equal parts"),
        ("without(sam, names='*norm*')", "'*norm*' matches none of the parameters"),
    ):
        (found,) = train_all([training(text, **TINY)], "loop")
        assert isinstance(found, Failure)
        assert reason in found.reason


def test_the_last_incomplete_batch_is_left_out() -> None:
    assert run(batch_size=50).steps == 3
    assert run(batch_size=96).steps == 3


# --- what a training may see


def test_the_test_part_has_no_influence_on_the_training() -> None:
    first, second = (run("sam", dataset=f"plugged:blobs(test_seed={s})") for s in (0, 1))
    assert first.test_loss != second.test_loss
    tests = ("test_loss", "test_accuracy")
    assert results(first, *tests) == results(second, *tests)


@pytest.mark.parametrize(
    "method", ["sam(rho=5.0)", "f-gr(gamma=1, epsilon=5)", "b-gr(epsilon=5)", "db-gr", "gnp(r=5)"]
)
def test_losses_are_those_of_the_parameters_and_not_of_the_perturbed_ones(method: str) -> None:
    """At a learning rate that moves nothing, every method reports what SGD does, to the bit."""
    still = {"learning_rate": STILL, "epochs": 1}
    sgd = results(run("sgd", **still), "gradient_evaluations")
    assert results(run(method, **still), "gradient_evaluations") == sgd


IMAGES = {"dataset": "random(shape=(1, 6, 6), num_classes=3, samples=96)"}


def test_augmentation_changes_what_is_trained_on_and_not_what_is_evaluated() -> None:
    still = {"learning_rate": STILL, **IMAGES}
    assert results(run(augmentation="crop-flip", **still)) == results(run(**still))
    assert run(augmentation="crop-flip", **IMAGES).curve != run(**IMAGES).curve


def test_augmentation_is_the_same_every_time() -> None:
    first, again = (run(augmentation="crop-flip", **IMAGES) for _ in range(2))
    assert results(first) == results(again)


def test_augmentation_is_for_images() -> None:
    (lost,) = train_all([training(augmentation="crop-flip", **TINY)], "loop")
    assert isinstance(lost, Failure)
    assert "crop-flip is for images" in lost.reason


def test_a_batch_larger_than_the_training_part_is_refused() -> None:
    with pytest.raises(ValueError, match="batch size 97 is more than the 96 training examples"):
        run(batch_size=97)


def test_a_single_example_is_enough() -> None:
    found = run("f-gr", dataset="plugged:one_row", batch_size=1)
    assert (found.steps, found.diverged_step) == (3, None)


# --- divergence


@pytest.mark.parametrize("at", [1, 2, 3, 4, STEPS])
def test_a_divergence_is_recorded_with_its_step(at: int) -> None:
    found = run(f"plugged:Exploding(at={at})")
    assert found.diverged_step == found.steps == found.gradient_evaluations == at
    assert len(found.curve) == (at - 1) // 3
    assert found.test_loss is None


def test_an_explosion_after_the_end_is_none() -> None:
    assert run(f"plugged:Exploding(at={STEPS + 1})").diverged_step is None


def test_a_huge_learning_rate_diverges() -> None:
    found = run(learning_rate=1e30)
    assert found.diverged_step in range(2, STEPS + 1)
    assert results(run(learning_rate=1e30)) == results(found)


def test_a_last_step_to_nowhere_is_a_divergence_too() -> None:
    """The one loss that the training saw was finite."""
    found = run("plugged:Overflowing", batch_size=96, epochs=1)
    assert (found.diverged_step, found.curve, found.test_loss) == (1, (), None)


@pytest.mark.parametrize(("part", "step"), [("validation", 3), ("test", STEPS)])
def test_a_part_without_a_finite_loss_is_a_divergence_too(part: str, step: int) -> None:
    found = run(dataset=f"plugged:blobs(endless={part!r})")
    assert (found.diverged_step, found.test_loss) == (step, None)


# --- evaluation


def gaps(method: str, how: TrainerChoice, evaluate_every: int, epochs: int = 5) -> list[Training]:
    cell = training(method, **TINY | {"epochs": epochs})
    cells = [cell] if how == "loop" else [replace(cell, seed=seed) for seed in range(2)]
    found = train_all(cells, how, evaluate_every=evaluate_every)
    return [one for one in found if isinstance(one, Training)]


@pytest.mark.parametrize("how", ["loop", "fleet"])
@pytest.mark.parametrize(("every", "epochs"), [(1, [1, 2, 3, 4, 5]), (2, [2, 4, 5]), (9, [5])])
def test_epochs_that_are_not_evaluated_change_nothing_else(
    how: TrainerChoice, every: int, epochs: list[int]
) -> None:
    """To the bit; the last epoch is always there."""
    for whole, found in zip(gaps("f-gr", how, 1), gaps("f-gr", how, every), strict=True):
        assert [point.epoch for point in found.curve] == epochs
        assert set(found.curve) <= set(whole.curve)
        assert results(found, "curve") == results(whole, "curve")


def test_a_divergence_between_evaluations_is_recorded_with_its_step() -> None:
    """In the fifth of six epochs of three steps; the fourth is the last that was evaluated."""
    (found,) = gaps("plugged:Exploding(at=14)", "loop", 2, epochs=6)
    assert found.diverged_step == found.steps == 14
    assert [point.epoch for point in found.curve] == [2, 4]
    (found,) = gaps("plugged:Exploding(at=2)", "loop", 4, epochs=6)
    assert (found.diverged_step, found.curve) == (2, ())


def test_evaluations_are_as_many_as_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The training part with its gradient, the validation part, and the test part once."""
    plain, seen = Loop.evaluate, []

    def noting(self: Loop, part: Any, *, with_gradient: bool = False, **more: Any) -> Any:
        seen.append(with_gradient)
        return plain(self, part, with_gradient=with_gradient, **more)

    monkeypatch.setattr(Loop, "evaluate", noting)
    gaps("sgd", "loop", 3, epochs=7)
    assert seen == 3 * [True, False] + [False]


def test_evaluation_in_pieces_is_that_of_the_whole_part() -> None:
    """1,500 examples: more than one piece, and not of equal length."""
    text = "random(shape=(5,), num_classes=3, samples=1500)"
    cell = training(**TINY | {"dataset": text}, dtype="float64")
    device, data = get_device("cpu"), load_data(cell, registry)
    loop = Loop(cell, data, device)
    model, part = loop.training.model, data.train
    logits = model(part.inputs)
    loss = torch.nn.functional.cross_entropy(logits, part.targets)
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    norm = np.sqrt(sum(float((g**2).sum()) for g in gradients))
    (found,) = loop.evaluate(part, with_gradient=True)
    assert found.loss == pytest.approx(loss.item(), rel=1e-12)
    hits = logits.argmax(1) == part.targets
    assert found.accuracy == pytest.approx(float(hits.double().mean()))
    assert found.gradient_norm == pytest.approx(norm, rel=1e-12)
    assert [replace(found, gradient_norm=None)] == loop.evaluate(part)


@pytest.mark.parametrize("model", ["mlp(dropout=0.5)", "resnet-8(width=4)"])
def test_evaluation_leaves_dropout_and_running_statistics_alone(model: str) -> None:
    text = "random(shape=(1, 8, 8), samples=16)"
    cell = training(**TINY | {"dataset": text, "model": model, "batch_size": 8})
    device, data = get_device("cpu"), load_data(cell, registry)
    loop = Loop(cell, data, device)
    state = loop.training.model.train().state_dict()
    before = {key: value.clone() for key, value in state.items()}
    first = loop.evaluate(data.train, with_gradient=True)
    assert loop.evaluate(data.train, with_gradient=True) == first
    assert all(torch.equal(value, before[key]) for key, value in state.items())


# --- which trainings are to be done


def pending(grid: GeneralizationGrid, records: Sequence[Record] = ()) -> list[GeneralizationCell]:
    experiment = Generalization()
    cells = experiment.cells(grid)
    jobs = experiment.pending(grid, cells, records)
    units = [unit for job in jobs for unit in job.units]
    assert not any(job.exclusive for job in jobs)
    how = TrainingOptions(
        trainer=grid.trainer,
        checkpoint_s=grid.checkpoint_seconds,
        evaluate_every=grid.evaluate_every,
    )
    assert all(unit.options == how for unit in units)
    assert len({unit.folder for unit in units}) == len(units)
    for unit in units:
        assert len({cell.fleet_key for cell in unit.cells}) == 1
    remaining = experiment.remaining_units(grid, cells, records)
    assert remaining == {"generalization trainings": len(units), "generalization times": 0}
    return [cell for unit in units for cell in unit.cells]


@pytest.mark.parametrize("trainer", ["auto", "fleet", "loop"])
def test_every_training_without_a_record_is_asked_for_once_in_mixed_order(
    trainer: TrainerChoice,
) -> None:
    grid = GeneralizationGrid(
        methods=["sgd", "sam"],
        models=["mlp"],
        datasets=["digits"],
        batch_sizes=[8, 16],
        epochs=1,
        trainer=trainer,
    )
    cells = Generalization().cells(grid)
    asked = pending(grid)
    assert sorted(cell.id for cell in asked) == sorted(cell.id for cell in cells)
    assert asked != cells
    assert pending(grid) == asked
    known = [failed(cells[0]), diverged(cells[1], 1)]
    rest = pending(grid, known)
    assert {cell.id for cell in rest} == {cell.id for cell in cells[2:]}
    assert pending(grid, [failed(cell) for cell in cells]) == []


def test_a_unit_keeps_its_folder_and_its_company_whatever_is_done_of_it() -> None:
    grid = GeneralizationGrid(
        methods=["sgd", "sam"],
        models=["mlp"],
        datasets=["digits"],
        batch_sizes=[8],
        seeds=list(range(90)),
        epochs=1,
    )
    cells = Generalization().cells(grid)

    def folders(records: Sequence[Record]) -> dict[str, Path | None]:
        (job,) = Generalization().pending(grid, cells, records)
        return {cell.id: unit.folder for unit in job.units for cell in unit.cells}

    before = folders([])
    assert len(set(before.values())) == 6
    done = [diverged(cell, 1) for cell in cells[::7]]
    left = folders(done)
    assert len(left) == len(cells) - len(done)
    assert left.items() <= before.items()


# --- label noise, and what the solution looks like


def test_wrong_labels_are_trained_on() -> None:
    clean, noisy = run(epochs=10), run(epochs=10, label_noise=0.5)
    assert noisy.curve[-1].train_accuracy < clean.curve[-1].train_accuracy


@pytest.mark.parametrize("how", ["loop", "fleet"])
def test_the_curvature_is_that_of_the_exact_hessian(how: TrainerChoice) -> None:
    cells = [training("sam", **TINY, sharpness=True, dtype="float64", seed=s) for s in range(2)]
    for result in train_all(cells, how):
        if isinstance(result, Progress):
            continue
        device, data = get_device("cpu"), load_data(result.cell, registry)
        loop = Loop(result.cell, data, device)
        steps, done = 3 * loop.steps_per_epoch, 0
        for _ in range(3):
            for batch in loop.batches():
                loop.step(*batch, (1 + np.cos(np.pi * done / steps)) / 2)
                done += 1
        model = loop.training.model.eval()
        params = dict(model.named_parameters())

        def loss(*values: torch.Tensor) -> torch.Tensor:
            named = dict(zip(params, values, strict=True))  # noqa: B023
            logits = torch.func.functional_call(model, named, (data.train.inputs,))  # noqa: B023
            return torch.nn.functional.cross_entropy(logits, data.train.targets)  # noqa: B023

        blocks = torch.autograd.functional.hessian(loss, tuple(params.values()))
        sizes = [p.numel() for p in params.values()]
        matrix = torch.cat(
            [
                torch.cat([b.reshape(m, n) for b, n in zip(row, sizes, strict=True)], 1)
                for row, m in zip(blocks, sizes, strict=True)
            ]
        )
        found = result.sharpness
        assert found is not None
        largest = float(torch.linalg.eigvalsh(matrix)[-1])
        assert found.largest_eigenvalue == pytest.approx(largest, rel=5e-3)
        assert abs(found.trace - float(matrix.trace())) < 5 * found.trace_error
        norm = float(torch.cat([p.detach().flatten() for p in params.values()]).norm())
        assert result.curve[-1].parameter_norm == pytest.approx(norm, rel=1e-8)


def test_a_model_without_second_derivatives_is_trained_all_the_same() -> None:
    found = run(model="plugged:Once", sharpness=True)
    assert found.test_accuracy is not None
    assert found.sharpness is None
    assert found.sharpness_error


def test_a_gpu_that_breaks_while_sharpness_is_read_is_no_missing_second_derivative(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(train, "sharpness", fail)
    monkeypatch.setattr(train, "is_broken", lambda: True)
    *_, result = train_all([training(**TINY | {"sharpness": True})], "loop")
    assert isinstance(result, Failure)
    assert "device-side assert" in result.reason


def test_a_record_says_how_large_the_parts_are_and_what_a_target_is() -> None:
    text = "stdlib(length=16, megabytes=0.05)"
    small = {"model": "char-transformer(width=8, depth=1, heads=1)", "batch_size": 64, "epochs": 1}
    record = run(dataset=text, split_seed=2, schedule="warmup-cosine", **small)
    data = registry.build_dataset(text).redrawn(2)
    assert record.unit == "byte"
    assert record.test_over_train == len(data.test) / len(data.train)
    assert record.split == data.split
    assert record.test_part is None  # of sequences
    assert run().unit is None
