"""Cross-entropy and accuracy."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gr_bench.workloads.loss import accuracy, cross_entropy

SHAPES = st.one_of(st.tuples(st.integers(1, 6)), st.tuples(st.integers(1, 4), st.integers(1, 5)))


@given(shape=SHAPES, classes=st.integers(1, 5), seed=st.integers(0, 1000))
@settings(max_examples=60)
def test_loss_and_accuracy_are_means_over_all_predictions(
    shape: tuple[int, ...], classes: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(*shape, classes, generator=generator, dtype=torch.float64)
    targets = torch.randint(classes, shape, generator=generator)
    losses, hits = [], []
    for row, target in zip(logits.view(-1, classes).tolist(), targets.flatten(), strict=True):
        total = sum(math.exp(value) for value in row)
        losses.append(math.log(total) - row[target])
        hits.append(row[target] == max(row))
    assert float(cross_entropy(logits, targets)) == pytest.approx(sum(losses) / len(losses))
    assert float(accuracy(logits, targets)) == pytest.approx(sum(hits) / len(hits))


def test_equal_logits_cost_the_logarithm_of_the_number_of_classes() -> None:
    targets = torch.tensor([0, 3])
    assert float(cross_entropy(torch.zeros(2, 4), targets)) == pytest.approx(math.log(4))


def test_accuracy_is_a_float_whatever_the_logits_are() -> None:
    logits = torch.eye(3, dtype=torch.bfloat16)
    assert accuracy(logits, torch.tensor([0, 1, 0])).dtype == torch.float32
