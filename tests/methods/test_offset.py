"""θ' = θ + s·direction, with a number or a tensor for s, on the CPU and on a GPU."""

import pytest
import torch
from torch import nn

from gr_bench.methods import SAM, ForwardGR
from gr_bench.methods.two_point import offset, radius_over_norm


def tensors(device):
    generator = torch.Generator().manual_seed(0)
    shapes = [(3, 4), (5,), ()]
    made = [torch.randn(s, dtype=torch.float64, generator=generator).to(device) for s in shapes * 2]
    return [nn.Parameter(t) for t in made[:3]], made[3:]


DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", [float, torch.tensor])
def test_offset_is_out_of_place(device, kind):
    """The sum, in memory of its own; neither θ nor the direction is touched."""
    params, directions = tensors(device)
    before = [t.detach().clone() for t in [*params, *directions]]
    scale = kind(-0.3)
    scale = scale.to(device) if isinstance(scale, torch.Tensor) else scale
    with torch.no_grad():
        moved = offset(params, directions, scale, ForwardGR())
    for p, direction, value in zip(params, directions, moved, strict=True):
        assert torch.allclose(value, p - 0.3 * direction, rtol=1e-6)
        assert value.shape == p.shape
        assert not value.requires_grad
    assert all(map(torch.equal, [*params, *directions], before))
    owned = {t.data_ptr() for t in [*params, *directions]}
    assert not any(t.data_ptr() in owned for t in moved)


@pytest.mark.parametrize("device", DEVICES)
def test_radius_over_norm(device):
    """ρ over the norm of all tensors together, a tensor on their device; 0 for a norm of 0."""
    three_four = [torch.tensor([3.0], device=device), torch.tensor([[0.0, 4.0]], device=device)]
    scale = radius_over_norm(2.0, three_four, SAM())
    assert scale.device.type == device
    assert scale.shape == ()
    assert scale.item() == pytest.approx(0.4)
    assert radius_over_norm(2.0, [torch.zeros(3, device=device)], SAM()).item() == 0


@pytest.mark.gpu
def test_cuda_and_cpu_agree(problem, method):
    """The same d from both paths, with dropout off: the devices draw different masks."""
    for module in problem.model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    expected = problem.direction(method)
    problem.model.cuda()
    problem.inputs, problem.targets = problem.inputs.cuda(), problem.targets.cuda()
    d = problem.direction(method)
    assert torch.allclose(d.cpu(), expected, rtol=1e-8, atol=1e-10)


@pytest.mark.gpu
def test_cuda_dropout_draws_the_same_mask(make_problem, method):
    """The CUDA generator is put back for every pass and ends where one pass leaves it."""
    problem = make_problem("dropout")
    problem.model.cuda()
    problem.inputs, problem.targets = problem.inputs.cuda(), problem.targets.cuda()
    torch.manual_seed(1)
    expected = problem.loss().item()
    state = torch.cuda.get_rng_state()
    assert problem.step(method).item() == expected
    assert torch.equal(torch.cuda.get_rng_state(), state)
