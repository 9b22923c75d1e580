"""What every dataset promises, and the datasets that need no files."""

import hashlib
import inspect
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mnist1d.data import make_dataset
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from gr_bench import registry
from gr_bench.workloads.datasets import Dataset, Part, digits, stratified_split
from gr_bench.workloads.datasets.base import standardise
from gr_bench.workloads.datasets.layouts import CHECKS

DATASETS = {name: registry.DATASETS.find(name) for name in registry.DATASETS.built_in}
OF_USERS = CHECKS.keys() - {"stdlib"}
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
def test_every_parameter_but_for_a_file_and_its_target_has_a_default(name: str) -> None:
    given = inspect.signature(DATASETS[name]).parameters.values()
    needed = {p.name for p in given if p.default is inspect.Parameter.empty}
    assert needed == {"csv": {"path", "target"}}.get(name, {"path"} if name in OF_USERS else set())


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


def test_digits_are_scikit_learns_to_the_bit_scaled_by_their_train_part() -> None:
    bunch = load_digits()
    split = stratified_split(bunch.target, 0.2, 0.2, seed=0)
    images = torch.from_numpy(bunch.images).float()[:, None]
    expected = standardise(*(images[part] for part in split))
    mean, std = bunch.images[split[0]].mean(), bunch.images[split[0]].std()
    for part, inputs, indices in zip(parts(DATASETS["digits"]()), expected, split, strict=True):
        assert torch.equal(part.inputs, inputs)
        scaled = torch.from_numpy((bunch.images[indices] - mean) / std).float()[:, None]
        torch.testing.assert_close(part.inputs, scaled)


def test_digits_come_through_scikit_learn_where_its_file_is_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = DATASETS["digits"]()
    monkeypatch.setattr(digits, "SHA256", "0" * 64)
    loaded: list[object] = []
    monkeypatch.setattr("sklearn.datasets.load_digits", lambda: loaded.append(1) or load_digits())
    for one, other in zip(parts(read), parts(DATASETS["digits"]()), strict=True):
        assert torch.equal(one.inputs, other.inputs)
        assert torch.equal(one.targets, other.targets)
    assert loaded


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
    signals, test = (torch.from_numpy(made[key]).float()[:, None] for key in ("x", "x_test"))
    expected = standardise(signals[split[0]], signals[split[1]], test)
    for part, inputs in zip(parts(mnist1d), expected, strict=True):
        assert torch.equal(part.inputs, inputs)


def mnist1d_cache() -> Path:
    """The folder of this test alone, see conftest.py."""
    return Path(os.environ["XDG_CACHE_HOME"], "gr-bench")


def fingerprint(dataset: Dataset) -> str:
    tensors = [tensor for part in parts(dataset) for tensor in (part.inputs, part.targets)]
    return hashlib.sha256(b"|".join(tensor.numpy().tobytes() for tensor in tensors)).hexdigest()


def test_digits_and_mnist1d_from_the_cache_need_no_slow_import() -> None:
    expected = [fingerprint(DATASETS["digits"]()), fingerprint(DATASETS["mnist1d"](samples=100))]
    probe = (
        "import sys; from gr_bench.registry import build_dataset as build; import hashlib\n"
        "for text in ('digits', 'mnist1d(samples=100)'):\n"
        "    data = build(text)\n"
        "    parts = (data.train, data.validation, data.test)\n"
        "    tensors = [t for part in parts for t in (part.inputs, part.targets)]\n"
        "    found = b'|'.join(t.numpy().tobytes() for t in tensors)\n"
        "    print(hashlib.sha256(found).hexdigest())\n"
        "print(sorted({'sklearn', 'scipy', 'mnist1d', 'requests'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert ended.stdout.split("\n")[:3] == [*expected, "[]"], ended.stderr


def _truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1000])


def _change_one_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _remove(file: Path) -> None:
    file.unlink()


@pytest.mark.parametrize("suffix", ["npz", "sha256"])
@pytest.mark.parametrize("damage", [_truncate, _change_one_bit, _empty, _remove])
def test_a_damaged_cache_is_written_again(suffix: str, damage: Callable[[Path], None]) -> None:
    whole = fingerprint(DATASETS["mnist1d"](samples=100))
    (file,) = mnist1d_cache().glob(f"*.{suffix}")
    content = file.read_bytes()
    damage(file)
    assert fingerprint(DATASETS["mnist1d"](samples=100)) == whole
    assert file.read_bytes() == content


def test_a_cache_that_cannot_be_read_or_written_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fingerprint(DATASETS["mnist1d"](samples=100))
    (file,) = mnist1d_cache().glob("*.npz")
    file.unlink()
    file.mkdir()
    assert fingerprint(DATASETS["mnist1d"](samples=100)) == whole
    (tmp_path / "no-folder").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no-folder"))
    assert fingerprint(DATASETS["mnist1d"](samples=100)) == whole


def test_each_setting_of_mnist1d_is_kept_for_itself() -> None:
    settings = [{"samples": 100}, {"samples": 100, "seed": 1}, {"samples": 200}]
    first = [fingerprint(DATASETS["mnist1d"](**setting)) for setting in settings]
    again = [fingerprint(DATASETS["mnist1d"](**setting)) for setting in settings]
    assert len(set(first)) == 3
    assert first == again


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
        if event == "open" and isinstance(arguments[0], str):
            _, _, flags = arguments
            if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR):
                events.append(arguments[0])

    sys.addaudithook(hook)  # hooks cannot be removed, so that this one goes silent instead
    yield events
    watching = False


def test_mnist1d_is_not_downloaded_and_writes_to_its_cache_alone(
    mnist1d: Dataset, outside_events: list[str]
) -> None:
    DATASETS["mnist1d"](samples=100)
    assert outside_events
    assert [event for event in outside_events if not event.startswith(str(mnist1d_cache()))] == []


@pytest.mark.parametrize("samples", [0, 55, -10, 10.0])
def test_mnist1d_needs_equal_classes(samples: object) -> None:
    with pytest.raises(ValueError, match="samples must be a"):
        DATASETS["mnist1d"](samples=samples)


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, None, "1"])
def test_mnist1d_needs_a_seed_that_numpy_takes(seed: object) -> None:
    with pytest.raises(ValueError, match="seed must be a whole number"):
        DATASETS["mnist1d"](samples=100, seed=seed)


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


def split_by_scikit_learn(
    targets: np.ndarray, validation: float, test: float, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The test part held out of everything, then the validation part out of the rest.

    Raises:
        ValueError: scikit-learn cannot, or a part that should have every class lacks one.
    """
    left, held_out = np.arange(len(targets)), []
    for fraction in (test, validation):
        count = round(fraction * len(targets))
        part = left[:0]
        if count:
            left, part = train_test_split(
                left, test_size=count, random_state=seed, stratify=targets[left]
            )
            left = np.sort(left)
        if fraction and set(targets[part]) != set(targets):
            raise ValueError("a class is missing")
        held_out.append(np.sort(part))
    if len(targets) == 0 or set(targets[left]) != set(targets):
        raise ValueError("a class is missing")
    return left, held_out[1], held_out[0]


@given(
    counts=st.lists(st.integers(1, 40) | st.sampled_from([100, 333]), min_size=1, max_size=12),
    labels=st.integers(-5, 5),
    validation=st.sampled_from([0.0, 0.1, 0.2, 1 / 3]) | st.floats(0, 0.45),
    test=st.sampled_from([0.0, 0.1, 0.2, 1 / 3]) | st.floats(0, 0.45),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=300)
def test_a_split_is_scikit_learns_to_the_index(
    counts: list[int], labels: int, validation: float, test: float, seed: int
) -> None:
    targets = np.repeat(np.arange(len(counts)) * 3 + labels, counts)
    np.random.default_rng(seed).shuffle(targets)
    try:
        expected = split_by_scikit_learn(targets, validation, test, seed)
    except ValueError:
        with pytest.raises(ValueError, match="too few to split"):
            stratified_split(targets, validation, test, seed)
    else:
        found = stratified_split(targets, validation, test, seed)
        assert all(map(np.array_equal, found, expected))


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
