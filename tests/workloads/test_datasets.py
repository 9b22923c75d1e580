"""What every dataset promises, and the datasets that need no files."""

import hashlib
import inspect
import random
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mnist1d.data import make_dataset
from sklearn.datasets import load_digits

from gr_bench.workloads.datasets import DATASETS, Dataset, Part, stratified_split
from gr_bench.workloads.datasets.base import standardise

LOADERS: dict[str, Callable[[], Dataset]] = {
    "digits": DATASETS["digits"],
    "mnist1d": lambda: DATASETS["mnist1d"](samples=500),
    "random": DATASETS["random"],
    "random-tokens": DATASETS["random-tokens"],
}


@pytest.fixture(scope="module")
def mnist1d() -> Dataset:
    return DATASETS["mnist1d"]()


@pytest.fixture(scope="module")
def made() -> dict[str, np.ndarray]:
    """What the package makes by default."""
    return make_dataset()


def parts(dataset: Dataset) -> tuple[Part, Part, Part]:
    return dataset.train, dataset.validation, dataset.test


def digest(indices: tuple[np.ndarray, ...]) -> str:
    data = b"|".join(part.astype("<i8").tobytes() for part in indices)
    return hashlib.sha256(data).hexdigest()[:16]


@pytest.mark.parametrize("name", LOADERS)
def test_parts_are_well_formed_and_share_no_sample(name: str) -> None:
    dataset = LOADERS[name]()
    assert dataset.name == name
    assert dataset.kind == ("real" if name == "digits" else "synthetic")
    assert dataset.source and "\n" not in dataset.source
    assert dataset.split and "\n" not in dataset.split
    seen: set[bytes] = set()
    for part in parts(dataset):
        assert len(part) > 0
        assert part.inputs.shape == (len(part), *dataset.input_shape)
        assert part.inputs.dtype == (torch.int64 if name == "random-tokens" else torch.float32)
        assert part.inputs.isfinite().all()
        assert part.targets.dtype == torch.int64
        assert part.targets.min() >= 0 and part.targets.max() < dataset.num_classes
        rows = {row.tobytes() for row in part.inputs.numpy()}
        assert len(rows) == len(part)
        assert not rows & seen
        seen |= rows


@pytest.mark.parametrize("name", LOADERS)
def test_loading_is_repeatable_and_leaves_global_generators_alone(name: str) -> None:
    def states() -> tuple[object, ...]:
        return random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()

    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    before = states()
    first = LOADERS[name]()
    assert states() == before
    random.seed(6), np.random.seed(6), torch.manual_seed(6)
    for one, other in zip(parts(first), parts(LOADERS[name]()), strict=True):
        assert torch.equal(one.inputs, other.inputs)
        assert torch.equal(one.targets, other.targets)


@pytest.mark.parametrize("name", DATASETS)
def test_every_parameter_has_a_default(name: str) -> None:
    defaults = [p.default for p in inspect.signature(DATASETS[name]).parameters.values()]
    assert inspect.Parameter.empty not in defaults


@pytest.mark.parametrize("name", ["mnist1d", "random", "random-tokens"])
def test_the_seed_decides_generated_data(name: str) -> None:
    parameters = {"samples": 100, "seed": 1}
    one, other = DATASETS[name](**parameters), DATASETS[name](**{**parameters, "seed": 2})
    assert not torch.equal(one.train.inputs, other.train.inputs)


def test_digits_are_split_60_20_20_as_always() -> None:
    dataset = DATASETS["digits"]()
    assert [len(part) for part in parts(dataset)] == [1079, 359, 359]
    assert dataset.input_shape == (1, 8, 8)
    split = stratified_split(load_digits().target, 0.2, 0.2, seed=0)
    assert digest(split) == "b336aef9deb58b10"
    for part, indices in zip(parts(dataset), split, strict=True):
        assert torch.equal(part.targets, torch.from_numpy(load_digits().target[indices]))


def test_digits_are_scaled_by_their_train_part_only() -> None:
    dataset = DATASETS["digits"]()
    images = load_digits().images
    split = stratified_split(load_digits().target, 0.2, 0.2, seed=0)
    mean, std = images[split[0]].mean(), images[split[0]].std()
    for part, indices in zip(parts(dataset), split, strict=True):
        expected = torch.from_numpy((images[indices] - mean) / std).float()[:, None]
        torch.testing.assert_close(part.inputs, expected)


def test_mnist1d_keeps_the_generators_test_part(
    mnist1d: Dataset, made: dict[str, np.ndarray]
) -> None:
    assert [len(part) for part in parts(mnist1d)] == [3200, 800, 1000]
    assert mnist1d.input_shape == (1, 40)
    assert np.array_equal(mnist1d.test.targets.numpy(), made["y_test"])
    # Scaling is affine, so that it leaves the correlation with the generator's signals at 1.
    ours = mnist1d.test.inputs.flatten().double().numpy()
    assert np.corrcoef(ours, made["x_test"].flatten())[0, 1] == pytest.approx(1, abs=1e-12)


def test_mnist1d_is_split_as_always_and_scaled_by_its_train_part(
    mnist1d: Dataset, made: dict[str, np.ndarray]
) -> None:
    targets = made["y"]
    split = stratified_split(targets, 0.2, 0.0, seed=0)
    assert digest(split) == "d1f8fed8032c108a"
    assert np.array_equal(mnist1d.train.targets.numpy(), targets[split[0]])
    assert np.array_equal(mnist1d.validation.targets.numpy(), targets[split[1]])
    assert float(mnist1d.train.inputs.mean()) == pytest.approx(0, abs=1e-6)
    assert float(mnist1d.train.inputs.std(correction=0)) == pytest.approx(1, abs=1e-6)


@pytest.fixture
def outside_events() -> Iterator[list[str]]:
    """Connections made and files opened for writing while the test runs."""
    events: list[str] = []
    watching = True

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if not watching:
            return
        if event.startswith("socket."):
            events.append(event)
        if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
            events.append(f"{event} {arguments[0]}")

    sys.addaudithook(hook)  # hooks cannot be removed, so that this one goes silent instead
    yield events
    watching = False


def test_mnist1d_neither_downloads_nor_writes(mnist1d: Dataset, outside_events: list[str]) -> None:
    DATASETS["mnist1d"](samples=100)
    assert outside_events == []


@pytest.mark.parametrize("samples", [0, 55, -10, 10.0])
def test_mnist1d_needs_equal_classes(samples: object) -> None:
    with pytest.raises(ValueError, match="samples must be a"):
        DATASETS["mnist1d"](samples=samples)


def test_mnist1d_too_small_to_split_is_refused() -> None:
    with pytest.raises(ValueError, match="too few to split"):
        DATASETS["mnist1d"](samples=10)


def test_random_images_take_a_list_from_toml() -> None:
    dataset = DATASETS["random"](shape=[2, 5], num_classes=3, samples=40)
    assert dataset.input_shape == (2, 5)
    assert dataset.num_classes == 3
    assert [len(part) for part in parts(dataset)] == [40, 10, 10]
    assert set(dataset.train.targets.tolist()) == {0, 1, 2}


def test_random_tokens_predict_the_next_one() -> None:
    dataset = DATASETS["random-tokens"](length=9, vocabulary=4, samples=40)
    assert dataset.input_shape == (9,)
    for part in parts(dataset):
        assert torch.equal(part.targets[:, :-1], part.inputs[:, 1:])
    assert set(dataset.train.inputs.flatten().tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("random", {"shape": []}, r"shape must hold .*, not \[\]"),
        ("random", {"shape": [3, 0]}, r"shape must hold .*, not \[3, 0\]"),
        ("random", {"samples": 0}, "samples must be"),
        ("random", {"num_classes": 0}, "num_classes must be"),
        ("random-tokens", {"length": 0}, "length must be"),
        ("random-tokens", {"vocabulary": 2.5}, "vocabulary must be a whole number"),
    ],
)
def test_impossible_random_data_is_refused(
    name: str, parameters: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        DATASETS[name](**parameters)


def test_only_floating_inputs_change_their_type() -> None:
    images = DATASETS["random"](samples=4).to(dtype=torch.float64)
    tokens = DATASETS["random-tokens"](samples=4).to("cpu", torch.float64)
    for part in parts(images):
        assert (part.inputs.dtype, part.targets.dtype) == (torch.float64, torch.int64)
    for part in parts(tokens):
        assert (part.inputs.dtype, part.targets.dtype) == (torch.int64, torch.int64)


def test_every_part_moves_to_the_device() -> None:
    dataset = DATASETS["random"](samples=4)
    moved = dataset.to("meta")
    for part in parts(moved):
        assert part.inputs.is_meta and part.targets.is_meta
        assert part.inputs.dtype == torch.float32
    assert not dataset.train.inputs.is_meta
    assert (moved.name, moved.num_classes) == (dataset.name, dataset.num_classes)


def test_a_part_needs_a_target_for_every_input() -> None:
    with pytest.raises(ValueError, match="not 2 for 3"):
        Part(torch.zeros(3, 1), torch.zeros(2))


def test_standardise_works_for_each_channel_and_survives_a_constant_one() -> None:
    train = torch.randn(50, 3, 4) * torch.tensor([1.0, 5.0, 0.0]).view(3, 1) + 7
    scaled, other = standardise(train, train + 1)
    torch.testing.assert_close(scaled.mean(dim=(0, 2)), torch.zeros(3), atol=1e-5, rtol=0)
    spread = scaled.std(dim=(0, 2), correction=0)
    torch.testing.assert_close(spread, torch.tensor([1.0, 1.0, 0.0]), atol=1e-5, rtol=0)
    difference = (other - scaled).mean(dim=(0, 2))
    expected = 1 / torch.tensor([train[:, 0].std(correction=0), train[:, 1].std(correction=0), 1])
    torch.testing.assert_close(difference, expected, atol=1e-4, rtol=0)


@given(
    counts=st.lists(st.integers(20, 60), min_size=1, max_size=5),
    validation=st.sampled_from([0.0, 0.1, 0.2, 0.3]),
    test=st.sampled_from([0.0, 0.1, 0.25]),
    seed=st.integers(0, 5),
    order=st.randoms(use_true_random=False),
)
@settings(max_examples=60)
def test_a_split_is_a_partition_with_the_classes_proportions(
    counts: list[int], validation: float, test: float, seed: int, order: random.Random
) -> None:
    targets = [label for label, count in enumerate(counts) for _ in range(count)]
    order.shuffle(targets)
    split = stratified_split(targets, validation, test, seed)
    assert sorted(np.concatenate(split).tolist()) == list(range(len(targets)))
    assert all((np.diff(part) > 0).all() for part in split)
    for part, fraction in zip(split, (1 - validation - test, validation, test), strict=True):
        assert len(part) == pytest.approx(fraction * len(targets), abs=1.01)
        found = np.bincount(np.asarray(targets)[part], minlength=len(counts))
        # Each of the two draws rounds a class's share by less than one sample.
        assert np.abs(found - fraction * np.asarray(counts)).max() < 2.01
    again = stratified_split(torch.tensor(targets), validation, test, seed)
    assert all(np.array_equal(a, b) for a, b in zip(split, again, strict=True))


def test_another_seed_gives_another_split() -> None:
    targets = np.arange(100) % 2
    one, other = (stratified_split(targets, 0.2, 0.2, seed) for seed in (0, 1))
    assert all(not np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    "targets",
    [[], [0], [0, 1], [0] * 50 + [1], [0] * 50 + [1] * 2, list(range(100)), [0] * 90 + [1] * 3],
)
def test_a_dataset_too_small_to_split_is_refused_in_one_line(targets: list[int]) -> None:
    with pytest.raises(ValueError, match="too few to split") as caught:
        stratified_split(np.asarray(targets, dtype=np.int64), 0.1, 0.1, seed=0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("validation", "test"), [(0.5, 0.5), (-0.1, 0.2), (0.2, 1.0)])
def test_fractions_must_leave_something_to_train_on(validation: float, test: float) -> None:
    with pytest.raises(ValueError, match="fractions"):
        stratified_split([0, 1] * 50, validation, test, seed=0)
