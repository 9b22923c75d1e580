"""Datasets of a user's own arrays: inputs, labels, parts, and what is refused."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import LabelEncoder, StandardScaler

from gr_bench.workloads.datasets import Dataset
from gr_bench.workloads.datasets.labels import encode_labels

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(5, 3, (60, 4))
Y = np.arange(60) % 3


def make(x: Any = X, y: Any = Y, **how: Any) -> Dataset:
    return Dataset.from_arrays(x, y, **how)


def rows(*arrays: torch.Tensor) -> list[tuple[float, ...]]:
    return sorted(tuple(row.tolist()) for array in arrays for row in array.flatten(1))


# --- inputs


def test_parts_are_those_of_scikit_learn_scaled_by_its_train_part() -> None:
    data = make(validation=0.25, test=0.2, seed=3)
    rest, test = train_test_split(np.arange(60), test_size=12, random_state=3, stratify=Y)
    rest = np.sort(rest)
    train, validation = train_test_split(rest, test_size=15, random_state=3, stratify=Y[rest])
    scaler = StandardScaler().fit(X[train])
    parts = (data.train, data.validation, data.test)
    for part, own in zip(parts, (train, validation, test), strict=True):
        expected = scaler.transform(X[np.sort(own)]).astype(np.float32)
        assert np.allclose(part.inputs.numpy(), expected, atol=1e-6)
        assert part.inputs.dtype == torch.float32
        assert part.targets.tolist() == Y[np.sort(own)].tolist()
    assert data.split == "55/25/20 % train/validation/test, stratified, seed 3"
    assert (data.name, data.kind, data.source) == ("arrays", "real", "arrays")
    assert data.input_shape == (4,) and data.num_classes == 3 and data.classes == ()


@pytest.mark.parametrize(
    "x",
    [
        torch.tensor(X, requires_grad=True),
        torch.tensor(X).float().bfloat16().double(),
        X.tolist(),
        pd.DataFrame(X),
        X.astype(np.float16),
        (100 * X).astype(np.uint8),
        np.asfortranarray(X),
    ],
    ids=["tensor", "rounded", "lists", "frame", "float16", "uint8", "columns"],
)
def test_inputs_of_any_kind_become_float32(x: Any) -> None:
    data = make(x, standardise=False)
    expected = torch.tensor(x.tolist() if isinstance(x, torch.Tensor) else np.array(x))
    parts = (data.train.inputs, data.validation.inputs, data.test.inputs)
    if expected.is_floating_point():
        assert rows(*parts) == rows(expected.float())
        assert data.train.inputs.dtype == torch.float32
    else:
        assert rows(*parts) == rows(expected.long())
        assert data.train.inputs.dtype == torch.int64
    assert make(x).train.inputs.dtype == torch.float32


def test_large_numbers_keep_their_differences_when_they_are_standardised() -> None:
    seconds = (1_700_000_000 + np.arange(60))[:, None]
    for x in (seconds, seconds.astype(np.float64)):
        train = make(x).train.inputs
        assert len(train.unique()) == len(train)
        assert float(train.mean()) == pytest.approx(0, abs=1e-6)
        assert float(train.std(correction=0)) == pytest.approx(1, abs=1e-6)


@given(st.floats(-1e30, 1e30), st.sampled_from([np.float32, np.float64]))
@settings(max_examples=50)
def test_a_constant_channel_is_zero(value: float, dtype: Any) -> None:
    x = np.full((60, 2, 3), value, dtype)
    x[:, 1] = RANDOM.normal(size=(60, 3))
    data = make(x)
    assert not data.train.inputs[:, 0].any() and not data.test.inputs[:, 0].any()


def test_channels_of_images_are_scaled_each_over_its_pixels() -> None:
    images = RANDOM.integers(0, 256, (60, 3, 5, 4), np.uint8)
    train = make(images).train.inputs
    assert train.mean(dim=(0, 2, 3)).tolist() == pytest.approx([0, 0, 0], abs=1e-6)
    assert train.std(dim=(0, 2, 3), correction=0).tolist() == pytest.approx([1, 1, 1], abs=1e-6)


def test_the_dataset_has_memory_of_its_own() -> None:
    x = X.astype(np.float32)
    data = make(x, standardise=False)
    before = data.train.inputs.clone()
    x[:] = 0
    assert torch.equal(data.train.inputs, before)


# --- labels


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (np.array(["b", "a", "c"])[Y], ("a", "b", "c")),
        (pd.Series(["b", "a", "c"])[Y], ("a", "b", "c")),
        (pd.Series(["b", "a", "c"], dtype="category")[Y], ("a", "b", "c")),
        (np.array(["b", "a", "c"], dtype=object)[Y], ("a", "b", "c")),
        ([["b", "a", "c"][i] for i in Y], ("a", "b", "c")),
        (np.array([7, -2, 30])[Y], ("-2", "7", "30")),
        (torch.tensor([7, -2, 30])[Y], ("-2", "7", "30")),
        (Y == 1, ("False", "True")),
    ],
)
def test_labels_are_numbered_in_sorted_order_and_their_names_kept(
    labels: Any, names: tuple[str, ...]
) -> None:
    data = make(y=labels)
    assert data.classes == names and data.num_classes == len(names)
    expected = LabelEncoder().fit_transform(np.asarray(labels))
    assert encode_labels(np.asarray(labels)).numbers.tolist() == expected.tolist()
    counts = np.bincount(expected)
    assert [sum(parts) for parts in data.class_counts.values()] == counts.tolist()
    assert tuple(data.class_counts) == names


@given(st.lists(st.integers(-3, 3) | st.integers(-(2**60), 2**60), min_size=2, max_size=30))
def test_encoded_labels_are_the_ranks_of_the_labels(labels: list[int]) -> None:
    if len(set(labels)) > 1:
        found = encode_labels(labels)
        order = sorted(set(labels))
        assert [order[number] for number in found.numbers] == labels
        assert found.names == (() if order == list(range(len(order))) else tuple(map(str, order)))


def test_classes_that_no_sample_has_can_be_given() -> None:
    data = make(num_classes=5)
    assert data.num_classes == 5 and data.classes == ()
    assert data.class_counts["4"] == [0, 0, 0]


# --- parts


def test_given_parts_stay_and_the_rest_is_drawn() -> None:
    x_test, y_test = X[:6] + 100, Y[:6]
    data = make(x_test=x_test, y_test=y_test, standardise=False, validation=0.1)
    assert rows(data.test.inputs) == rows(torch.tensor(x_test).float())
    assert data.test.targets.tolist() == y_test.tolist()
    assert [len(data.train), len(data.validation)] == [54, 6]
    rest = "of the rest, 90/10 % train/validation, stratified, seed 0"
    assert data.split == f"the given test part; {rest}"
    both = make(x_test=x_test, y_test=y_test, x_validation=X[:3], y_validation=Y[:3])
    assert [len(both.train), len(both.validation), len(both.test)] == [60, 3, 6]
    assert both.split == "the parts as given"
    drawn = make(x_validation=X[:3], y_validation=Y[:3], test=0.5)
    assert [len(drawn.train), len(drawn.validation), len(drawn.test)] == [30, 3, 30]
    assert drawn.split.startswith("the given validation part; of the rest, 50/50 % train/test")


def test_given_parts_are_scaled_by_the_train_part() -> None:
    data = make(x_test=X[:6], y_test=Y[:6], x_validation=X[:6], y_validation=Y[:6])
    expected = StandardScaler().fit(X).transform(X[:6])
    assert np.allclose(data.test.inputs.numpy(), expected, atol=1e-6)
    assert torch.equal(data.validation.inputs, data.test.inputs)


# --- targets of positions


def test_tokens_stay_whole_numbers_and_share_their_numbers_with_the_targets() -> None:
    tokens = RANDOM.integers(0, 9, (40, 8))
    tokens[0, 0] = 9
    targets = np.roll(tokens, -1, axis=1)
    data = make(tokens, targets)
    assert data.num_classes == 10 and data.classes == ()
    assert data.train.inputs.dtype == data.train.targets.dtype == torch.int64
    assert torch.equal(data.train.targets[:, :-1], data.train.inputs[:, 1:])
    assert [len(data.train), len(data.validation), len(data.test)] == [24, 8, 8]
    assert data.split == "60/20/20 % train/validation/test, at random, seed 0"


def test_inputs_with_a_target_a_position_are_standardised() -> None:
    x = RANDOM.normal(3, 2, (40, 8, 5))
    data = make(x, RANDOM.integers(0, 4, (40, 8)))
    assert data.num_classes == 4
    assert float(data.train.inputs[:, 2].mean()) == pytest.approx(0, abs=1e-6)


# --- refusals

NAN = X.copy()
NAN[17, 2] = np.nan
HUGE = X.copy()
HUGE[5, 1] = np.inf


@pytest.mark.parametrize(
    ("x", "y", "how", "message"),
    [
        (X, Y[:-1], {}, "train: 59 labels for 60 samples"),
        (X[:1], Y[:1], {}, "every sample is of class 0: two classes are the least"),
        (X, 0 * Y, {}, "every sample is of class 0: two classes are the least"),
        (X[:0], Y[:0], {}, "train: there are no inputs"),
        (X, Y[:0], {}, "train: there are no labels"),
        (NAN, Y, {}, "sample 17 has an input that is not a finite number"),
        (HUGE, Y, {"standardise": False}, "sample 5 has an input that is not a finite number"),
        (1e39 * X, Y, {"standardise": False}, "sample 0 has an input that is not a finite"),
        (X[:, 0], Y, {}, r"inputs must be \(N, ...\)"),
        (X.astype(str), Y, {}, "inputs must be numbers, not <U"),
        (X + 1j, Y, {}, "inputs must be numbers, not complex128"),
        (X, X[:, 0], {}, "not float64: regression is not supported"),
        (X, Y.astype(float).astype(object), {}, "regression is not supported"),
        (X, np.where(Y == 2, np.nan, Y), {}, "the label of sample 2 is missing"),
        (X, np.array(["a", "b", None], object)[Y], {}, "the label of sample 2 is missing"),
        (X, np.array(["a", "b", 1], object)[Y], {}, "several types have no order: int, str"),
        (X, np.where(np.arange(60) == 7, 9, Y), {}, "class 9 has 1 sample, and needs 3"),
        (X, np.where(np.arange(60) < 2, "x", "y"), {}, "class x has 2 samples, and needs 3"),
        (X, Y, {"num_classes": 2}, "whole numbers from 0 to 1, not 2"),
        (X, Y - 1, {"num_classes": 3}, "whole numbers from 0 to 2, not -1"),
        (X, Y.astype(str), {"num_classes": 3}, "whole numbers from 0 to 2, not 2"),
        (X, Y, {"test": 0}, "test must be a fraction between 0 and 1, not 0"),
        (X, Y, {"validation": 1.5}, "validation must be a fraction between 0 and 1, not 1.5"),
        (X, Y, {"validation": 0.5, "test": 0.5}, "together below 1"),
        (X, Y, {"test": 0.03}, "too few to split: the test part would lack 1 classes"),
        (X, Y, {"test": 0.001}, "60 samples leave none for the test part at 0.001"),
        (X, np.stack([Y, Y], 1), {"test": 0.001}, "60 samples leave none for the test part"),
        (X, Y, {"x_test": X}, "x_test is given without y_test"),
        (X, Y, {"y_validation": Y}, "y_validation is given without x_validation"),
        (
            X,
            Y,
            {"x_test": X[:, :2], "y_test": Y},
            r"the test part have shape \(N, 2\), .* \(N, 4\)",
        ),
        (X, Y, {"x_test": X[:3], "y_test": Y[:3] + 1}, "class 3 has no samples of the train"),
        (X, Y[:, None] - 1, {}, "must be from 0 to 1, not -1"),
        (X, np.stack([Y, Y], 1) + 0.5, {}, "must be whole numbers from 0 on, not float64"),
        (X, np.zeros((60, 2), int), {}, "every target is 0"),
        (X, np.zeros((60, 2, 2), int), {}, r"labels must be \(N,\) or \(N, T\)"),
    ],
)
def test_what_is_no_dataset_is_refused_in_one_line(
    x: Any, y: Any, how: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as error:
        make(x, y, **how)
    assert "\n" not in str(error.value)
