from __future__ import annotations

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


def test_the_textbooks_sam_has_our_direction() -> None:
    found = direction(registry.build_method("gr_bench.peers:TextbookSAM(rho=0.3)"))
    torch.testing.assert_close(found, direction(SAM(rho=0.3)), rtol=1e-12, atol=1e-12)
