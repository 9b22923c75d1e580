from __future__ import annotations

import pytest
import torch
from torch import nn

from gr_bench import registry
from gr_bench.meters.get_device import get_device
from gr_bench.meters.memory import Memory, measure_memory
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


def test_what_an_optimizer_inside_keeps_counts_as_the_methods_memory() -> None:
    """pytorch-optimizer's SAM lets go of all it had at the end of a step; another might not."""
    method = registry.build_method("gr_bench.peers:PytorchOptimizerSAM")
    assert method.state_dict() == {}
    model = nn.Linear(30, 20)
    params = list(model.parameters())
    batch = (torch.randn(4, 30), torch.randint(20, (4,)))
    optimizer = torch.optim.SGD(params, lr=0.1)

    def step() -> None:
        method.backward(lambda: nn.functional.cross_entropy(model(batch[0]), batch[1]), params)
        optimizer.step()

    def memory() -> Memory:
        return measure_memory(step, get_device("cpu"), model, optimizer, method, batch)

    step()
    assert memory().method_bytes == 0
    method._made["optimizer"].state[params[0]]["kept"] = torch.zeros(20, 30)
    found = memory()
    assert found.method_bytes == 4 * 20 * 30
    other = registry.build_method("gr_bench.peers:PytorchOptimizerSAM")
    other.load_state_dict(method.state_dict())
    other.backward(lambda: nn.functional.cross_entropy(model(batch[0]), batch[1]), params)
    (kept,) = other.state_dict()["optimizer"]["state"][0].values()
    assert kept.shape == (20, 30)
