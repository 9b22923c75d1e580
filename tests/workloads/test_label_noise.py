from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gr_bench import registry
from gr_bench.workloads.label_noise import with_label_noise

DATA = registry.build_dataset("random(shape=(3,), num_classes=4, samples=50)")


@given(st.floats(0, 0.99))
def test_exactly_that_part_of_the_training_labels_is_wrong(part: float) -> None:
    noisy = with_label_noise(DATA, part)
    wrong = noisy.train.targets != DATA.train.targets
    assert int(wrong.sum()) == round(part * len(DATA.train))
    assert noisy.train.targets.min() >= 0
    assert noisy.train.targets.max() < DATA.num_classes
    assert torch.equal(noisy.train.inputs, DATA.train.inputs)
    for clean in ("validation", "test"):
        assert getattr(noisy, clean) is getattr(DATA, clean)


def test_the_wrong_labels_are_the_same_every_time_and_whatever_was_drawn_before() -> None:
    first = with_label_noise(DATA, 0.4)
    torch.manual_seed(99)
    torch.rand(3)
    assert torch.equal(first.train.targets, with_label_noise(DATA, 0.4).train.targets)


def test_every_other_class_is_drawn() -> None:
    data = registry.build_dataset("random(shape=(1,), num_classes=4, samples=2000)")
    noisy = with_label_noise(data, 0.9)
    wrong = noisy.train.targets != data.train.targets
    shifts = (noisy.train.targets - data.train.targets)[wrong] % 4
    counts = torch.bincount(shifts, minlength=4)
    assert counts[0] == 0
    assert (counts[1:] > 0.28 * wrong.sum()).all()


def test_a_target_for_every_position_counts_as_a_label() -> None:
    data = registry.build_dataset("random-tokens(length=8, vocabulary=5, samples=20)")
    noisy = with_label_noise(data, 0.25)
    wrong = noisy.train.targets != data.train.targets
    assert int(wrong.sum()) == data.train.targets.numel() // 4


@pytest.mark.parametrize("part", [-0.1, 1.0, float("nan")])
def test_a_part_that_is_no_share_is_refused(part: float) -> None:
    with pytest.raises(ValueError, match="must be in"):
        with_label_noise(DATA, part)
