"""Other splits of the same data: what moves, what stays, and that no choice leaks into a test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.preprocessing import StandardScaler

from gr_bench import registry
from gr_bench.errors import RequestError
from gr_bench.experiments.generalization.cell import GeneralizationGrid
from gr_bench.workloads.datasets import FIXED, Dataset, stratified_split
from gr_bench.workloads.datasets.split import Split, redraw

DRAWN = st.sampled_from([("validation", "test"), ("test",), ("validation",)])


@st.composite
def splits(draw: st.DrawFn) -> tuple[NDArray[np.int64], Split]:
    """Any division of samples of some classes, classes in any proportions."""
    parts = draw(st.lists(st.sampled_from([0, 0, 0, 1, 2]), min_size=3, max_size=60))
    classes = draw(st.lists(st.integers(0, 3), min_size=len(parts), max_size=len(parts)))
    train, validation, test = (np.flatnonzero(np.array(parts) == part) for part in range(3))
    return np.array(classes), Split(train, validation, test)


@given(splits(), st.integers(0, 2**70), DRAWN)
def test_a_split_has_every_sample_once_and_as_many_of_each_class(
    made: tuple[NDArray[np.int64], Split], seed: int, drawn: Sequence[str]
) -> None:
    classes, first = made
    split = redraw(classes, first, seed, drawn)
    assert sorted(np.concatenate(split)) == list(range(len(classes)))
    for part, own in zip(split, first, strict=True):
        assert part.tolist() == sorted(part)
        assert np.bincount(classes[part], minlength=4).tolist() == (
            np.bincount(classes[own], minlength=4).tolist()
        )
    stays = "validation" if "test" in drawn else "test"
    assert np.array_equal(getattr(split, stays), getattr(first, stays))


def test_a_sample_is_tested_as_often_as_any_other_of_its_class() -> None:
    """With probability n/(n + m), and two of a class independently but for the size of the part."""
    classes = np.repeat([0, 1], [40, 20])
    first = stratified_split(classes, 0.2, 0.3, 0)
    masks = np.array([redraw(classes, first, seed).test_mask for seed in range(2000)])
    free = np.setdiff1d(np.arange(60), first.validation)
    assert not masks[:, first.validation].any()
    for name in (0, 1):
        own = free[classes[free] == name]
        share = (classes[first.test] == name).sum() / len(own)
        error = np.sqrt(share * (1 - share) / len(masks))
        assert np.abs(masks[:, own].mean(0) - share).max() < 4 * error
    assert len({mask.tobytes() for mask in masks}) == len(masks)


def test_hashes_tell_splits_apart_and_masks_are_the_test_parts() -> None:
    first = stratified_split(np.arange(30) % 3, 0.2, 0.2, 0)
    other = redraw(np.arange(30) % 3, first, 1)
    assert first.hash != other.hash == redraw(np.arange(30) % 3, first, 1).hash
    swapped = Split(first.train, first.test, first.validation)
    assert swapped.hash != first.hash
    assert np.flatnonzero(other.test_mask).tolist() == other.test.tolist()


def test_digits_of_any_split_are_those_of_scikit_learn_scaled_by_its_train_part() -> None:
    bunch = load_digits()
    data = registry.build_dataset("digits")
    for seed in (0, 1, 12):
        own = data.redrawn(seed)
        places = own.places
        assert places is not None
        scaler = StandardScaler().fit(bunch.data[places.train].reshape(-1, 1))
        parts = (own.train, own.validation, own.test)
        for part, samples in zip(parts, places, strict=True):
            expected = scaler.transform(bunch.data[samples].reshape(-1, 1))
            found = part.inputs.numpy().reshape(-1, 1)
            np.testing.assert_allclose(found, expected, atol=1e-5)
            assert part.targets.tolist() == bunch.target[samples].tolist()
    assert data.redrawn(0) is data
    assert own.split.endswith("seed 0; train and test divided anew by split seed 12")


def test_mnist1d_divides_its_own_test_part_anew() -> None:
    data = registry.build_dataset("mnist1d(samples=500)")
    other = data.redrawn(3)
    assert data.places is not None and other.places is not None
    assert data.places.test.tolist() == list(range(400, 500))
    assert len(np.intersect1d(data.places.test, other.places.test)) not in (0, 100)
    sizes = [len(part) for part in (data.train, data.validation, data.test)]
    assert sizes == [len(part) for part in (other.train, other.validation, other.test)]
    both = [
        torch.cat([d.train.targets, d.validation.targets, d.test.targets]) for d in (data, other)
    ]
    assert torch.equal(*(own.sort().values for own in both))
    assert other.train.inputs.mean().abs() < 1e-6
    assert abs(other.train.inputs.std(correction=0) - 1) < 1e-5
    assert torch.equal(other.train.targets, data.redrawn(3).train.targets)


X, Y = np.random.default_rng(0).normal(size=(60, 4)), np.arange(60) % 3


def test_a_given_test_part_stays() -> None:
    data = Dataset.from_arrays(X, Y, x_test=X[:9] + 1, y_test=Y[:9])
    other = data.redrawn(5)
    assert data.places is not None and other.places is not None
    assert other.places.test.tolist() == list(range(60, 69)) == data.places.test.tolist()
    assert other.places.validation.tolist() != data.places.validation.tolist()
    assert other.split.endswith("; train and validation divided anew by split seed 5")
    scaler = StandardScaler().fit(X[other.places.train])
    np.testing.assert_allclose(other.test.inputs, scaler.transform(X[:9] + 1), atol=1e-6)


def test_a_given_validation_part_stays_and_given_parts_are_refused() -> None:
    given = {"x_validation": X[:9], "y_validation": Y[:9]}
    data = Dataset.from_arrays(X, Y, **given)
    other = data.redrawn(5)
    assert data.places is not None and other.places is not None
    assert other.places.validation.tolist() == data.places.validation.tolist()
    assert other.places.test.tolist() != data.places.test.tolist()
    both = Dataset.from_arrays(X, Y, **given, x_test=X[:9], y_test=Y[:9], name="mine")
    with pytest.raises(RequestError, match="the parts of dataset 'mine' are fixed: write splits"):
        both.redrawn(1)
    assert both.redrawn(0) is both


def test_categories_are_those_of_the_train_part_of_the_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [f"{index},{'only' if index == 7 else 'often'},{index % 2}" for index in range(40)]
    Path("x.csv").write_text("number,word,y\n" + "\n".join(rows))
    data = registry.build_dataset("csv(path='x.csv', target='y')")
    widths = {}
    for seed in range(12):
        own = data.redrawn(seed)
        assert own.places is not None
        widths[seed] = own.input_shape == (3,)
        assert widths[seed] == (7 in own.places.train)
        numbers = own.train.inputs[:, 0].double().numpy()
        assert abs(numbers.mean()) < 1e-6 and abs(numbers.std() - 1) < 1e-6
    assert len({*widths.values()}) == 2


@pytest.mark.parametrize("name", FIXED)
def test_fixed_parts_are_refused_before_anything_is_read(name: str) -> None:
    text = f"{name}(path='x.txt')" if name == "text" else name
    with pytest.raises(ValueError, match="are fixed: write splits = 0") as caught:
        GeneralizationGrid.model_construct(
            datasets=[text], splits="by seed"
        )._parts_that_are_drawn()
    assert "\n" not in str(caught.value)
    if name != "text":
        with pytest.raises(RequestError, match="are fixed"):
            registry.build_dataset(name).redrawn(1)


@pytest.mark.parametrize("name", ["digits", "mnist1d(samples=200)"])
def test_all_others_say_where_their_samples_are_from(name: str) -> None:
    data = registry.build_dataset(name)
    assert data.places is not None and data.redraw is not None
    assert data.places.samples == sum(
        data.class_counts[key][part] for key in data.class_counts for part in range(3)
    )


def best_of(candidates: int, studies: int) -> dict[str, list[float]]:
    """Test accuracies of the best of many settings by validation, where there is nothing to learn.

    Labels are drawn by lot; a setting is a random similarity, the prediction the label of the most
    similar training sample. Every true accuracy is a half.
    """
    found: dict[str, list[float]] = {"redrawn": [], "independent": []}
    for study in range(studies):
        random = np.random.default_rng(study)
        classes = random.permutation(np.arange(200) % 2)
        first = stratified_split(classes, 0.2, 0.2, study)
        features = random.normal(size=(candidates, 200, 6))

        def accuracy(own: NDArray[np.float64], split: Split, part: NDArray[np.int64]) -> float:
            near = split.train[(own[part] @ own[split.train].T).argmax(1)]
            return float((classes[near] == classes[part]).mean())  # noqa: B023

        best = max(features, key=lambda own: accuracy(own, first, first.validation))
        for seed in range(1, 4):
            split = redraw(classes, first, seed)
            found["redrawn"].append(accuracy(best, split, split.test))
            split = stratified_split(classes, 0.2, 0.2, 1000 * study + 500 + seed)
            found["independent"].append(accuracy(best, split, split.test))
    return found


def test_a_choice_by_the_validation_part_does_not_leak_into_other_splits() -> None:
    """It does where each split is drawn from all samples, those that were chosen by included."""
    found = best_of(candidates=40, studies=400)
    means = {key: np.mean(values) - 0.5 for key, values in found.items()}
    error = 0.5 / np.sqrt(40 * 400)  # of a mean over one test part a study
    assert abs(means["redrawn"]) < 3 * error
    assert means["independent"] > 3 * error
