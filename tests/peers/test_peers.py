from __future__ import annotations

import pytest
import torch
from torch import nn

from gr_bench import registry
from gr_bench.methods import SAM, Method


def direction(method: Method) -> tuple[torch.Tensor, ...]:
    """Loss, direction and parameters after a step, of a smooth net in float64."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)).double()
    inputs, targets = torch.randn(4, 3).double(), torch.tensor([0, 1, 1, 0])
    params = list(model.parameters())
    for _ in range(2):  # what is left from a first step must not matter
        loss = method.backward(lambda: nn.functional.cross_entropy(model(inputs), targets), params)
    return loss, *(p.grad for p in params), *(p.detach() for p in params)


@pytest.mark.parametrize(
    ("peer", "own"),
    [
        ("TextbookSAM(rho=0.3)", SAM(rho=0.3)),
        ("PytorchOptimizerSAM(rho=0.3)", SAM(rho=0.3)),
        ("PytorchOptimizerSAM(rho=0.3, foreach=True)", SAM(rho=0.3)),
    ],
)
def test_a_peer_does_what_it_is_compared_with(peer: str, own: Method) -> None:
    found = direction(registry.build_method(f"gr_bench.peers:{peer}"))
    # pytorch-optimizer adds up squares in single precision
    torch.testing.assert_close(found, direction(own), rtol=1e-6, atol=1e-8)
