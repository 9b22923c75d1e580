from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gr_bench.meters.curvature import gradient_norm

numbers = st.floats(-1e6, 1e6)


@given(st.lists(st.lists(numbers, max_size=5), max_size=5))
def test_gradient_norm_is_the_norm_of_all_gradients_in_a_row(gradients) -> None:
    params = []
    for values in gradients:
        p = torch.zeros(len(values), dtype=torch.float64, requires_grad=True)
        p.grad = torch.tensor(values, dtype=torch.float64)
        params.append(p)
    expected = np.linalg.norm(np.concatenate([[0.0], *map(np.array, gradients)]))
    assert float(gradient_norm(params)) == pytest.approx(expected)


def test_parameters_without_a_gradient_do_not_count() -> None:
    with_gradient, without = torch.zeros(2), torch.zeros(2)
    with_gradient.grad = torch.tensor([3.0, 4.0])
    assert gradient_norm([without, with_gradient]) == 5
    assert gradient_norm([without]) == 0
    assert gradient_norm(iter([with_gradient])).ndim == 0
