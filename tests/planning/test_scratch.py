"""Scratch memory of convolutions, beside what the allocator's events say of single ones."""

from __future__ import annotations

import pytest
import torch

from gr_bench.meters.cpu import CPU
from gr_bench.planning.scratch import scratch_bytes

ATEN = torch.ops.aten
SHAPES = [
    (16, 16, 8, 1, 3, 32),
    (16, 32, 8, 1, 3, 32),
    (32, 64, 8, 2, 3, 16),
    (64, 64, 16, 1, 3, 8),
    (3, 16, 16, 1, 3, 16),
    (1, 16, 8, 1, 3, 32),
    (128, 128, 4, 1, 3, 4),
]
"""Channels in and out, rows, stride, kernel, batch."""

needs_avx512 = pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() != "AVX512", reason="blocks of another size"
)


def operands(shape, dtype=torch.float32):
    inputs, outputs, rows, stride, kernel, batch = shape
    x = torch.randn(batch, inputs, rows, rows, dtype=dtype)
    w = torch.randn(outputs, inputs, kernel, kernel, dtype=dtype)
    return x, w, ([stride] * 2, [kernel // 2] * 2, [1, 1], False, [0, 0], 1)


@needs_avx512
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_forward_pass(shape) -> None:
    x, w, rest = operands(shape)
    args = (x, w, None, *rest)
    y = ATEN.convolution(*args)
    measured = CPU("cpu").peak_growth(lambda: ATEN.convolution(*args))
    assert y.nbytes + scratch_bytes(ATEN.convolution.default, args) == measured


@needs_avx512
@pytest.mark.parametrize("wanted", [(True, True), (True, False), (False, True)], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_backward_pass(shape, wanted) -> None:
    x, w, rest = operands(shape)
    g = torch.ones_like(ATEN.convolution(x, w, None, *rest))
    args = (g, x, w, None, *rest, [*wanted, False])
    made = wanted[0] * x.nbytes + wanted[1] * w.nbytes
    measured = CPU("cpu").peak_growth(lambda: ATEN.convolution_backward(*args))
    predicted = made + scratch_bytes(ATEN.convolution_backward.default, args)
    assert predicted == pytest.approx(measured, rel=0.02)


def test_in_float64_the_input_is_unfolded() -> None:
    x, w, rest = operands((4, 8, 8, 1, 3, 6), torch.float64)
    args = (x, w, None, *rest)
    measured = CPU("cpu").peak_growth(lambda: ATEN.convolution(*args))
    y = ATEN.convolution(*args)
    assert y.nbytes + scratch_bytes(ATEN.convolution.default, args) == measured


@pytest.mark.parametrize("shape", SHAPES[:2], ids=str)
def test_what_is_not_contiguous_is_copied_first(shape) -> None:
    x, w, rest = operands(shape)
    plain = scratch_bytes(ATEN.convolution.default, (x, w, None, *rest))
    turned = x.transpose(2, 3)
    found = scratch_bytes(ATEN.convolution.default, (turned, w, None, *rest))
    assert found == plain + x.nbytes


def test_other_operators_take_none() -> None:
    a = torch.ones(4, 4)
    assert scratch_bytes(ATEN.mm.default, (a, a)) == 0
