"""Optimizers of other packages as methods: their gradients, their state, their passes."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gr_bench import registry
from gr_bench.errors import RequestError
from gr_bench.methods import SAM, SGD, Method
from gr_bench.peers.wrapped import WrappedOptimizer

PACKAGE = "pytorch_optimizer"
WORKING = {
    "SAM": 2,
    "LookSAM": 2,
    "FriendlySAM": 2,
    "WSAM(decouple=False)": 2,
    "OrthoGrad": 1,
}
"""Those of the package's optimizers that hand a gradient of their own to their base, and the passes
of a step."""


class Problem:
    """A smooth net in float64, with a count of the calls of its loss."""

    def __init__(self, *, batch_norm: bool = False) -> None:
        torch.manual_seed(0)
        norm = [nn.BatchNorm2d(3)] if batch_norm else []
        layers = nn.Conv2d(1, 3, 3), *norm, nn.Tanh(), nn.Flatten(), nn.Linear(12, 3)
        self.model = nn.Sequential(*layers).double()
        self.inputs = torch.randn(6, 1, 4, 4, dtype=torch.float64)
        self.targets = torch.tensor([0, 1, 2, 0, 1, 2])
        self.params = list(self.model.parameters())
        self.calls = 0

    def loss(self) -> Tensor:
        self.calls += 1
        return nn.functional.cross_entropy(self.model(self.inputs), self.targets)

    def step(self, method: Method, rate: float = 0.1) -> Tensor:
        """One plain step by the method's gradient; returns the loss before it."""
        loss = method.backward(self.loss, self.params)
        with torch.no_grad():
            for p in self.params:
                assert p.grad is not None
                p.sub_(p.grad, alpha=rate)
        return loss

    def direction(self, method: Method) -> list[Tensor]:
        method.backward(self.loss, self.params)
        found = [p.grad for p in self.params]
        assert all(grad is not None for grad in found)
        return [grad.clone() for grad in found if grad is not None]

    @property
    def theta(self) -> Tensor:
        return torch.cat([p.detach().flatten() for p in self.params])


def theirs(spec: str) -> Method:
    pytest.importorskip(PACKAGE)
    return registry.build_method(f"{PACKAGE}:{spec}")


@pytest.mark.parametrize("foreach", [False, True])
def test_the_packages_sam_has_our_direction(foreach: bool) -> None:
    one, other = Problem(), Problem()
    method = theirs(f"SAM(rho=0.3, perturb_eps=0.0, foreach={foreach})")
    for _ in range(5):
        # the package adds up squares in single precision
        torch.testing.assert_close(one.step(method), other.step(SAM(rho=0.3)), rtol=0, atol=1e-7)
    torch.testing.assert_close(one.theta, other.theta, rtol=0, atol=1e-7)
    assert (one.theta - Problem().theta).abs().max() > 1e-2


@pytest.mark.parametrize("spec", WORKING)
def test_the_family_steps_and_its_passes_are_counted(spec: str) -> None:
    problem, method = Problem(), theirs(spec)
    before = problem.theta.clone()
    assert method.gradient_evaluations == WORKING[spec]
    for _ in range(3):
        with torch.no_grad():
            logits = problem.model(problem.inputs)
            first = nn.functional.cross_entropy(logits, problem.targets)
        assert torch.equal(method.backward(problem.loss, problem.params), first)
    assert problem.calls == 3 * WORKING[spec]
    assert method.gradient_evaluations == WORKING[spec]
    # the base optimizer does not move: what is left is rounding of the package's own way back
    torch.testing.assert_close(problem.theta, before, rtol=0, atol=1e-12)


@pytest.mark.parametrize("spec", ["SAM(rho=0.1)", "FriendlySAM(rho=0.1)", "LookSAM(rho=0.1, k=3)"])
def test_a_wrapped_optimizer_goes_on_from_its_state_bit_for_bit(spec: str) -> None:
    whole = Problem()
    method = theirs(spec)
    losses = [float(whole.step(method)) for _ in range(8)]
    parts, found = Problem(), []
    method = theirs(spec)
    for place in range(8):
        if place == 4:
            kept = copy.deepcopy(method.state_dict())
            method = theirs(spec)
            method.begin(dict(parts.model.named_parameters()), 8)
            method.load_state_dict(kept)
        found.append(float(parts.step(method)))
    assert found == losses
    assert torch.equal(parts.theta, whole.theta)
    assert method.state["steps"] == 8


def test_the_state_of_the_wrapped_optimizer_is_the_methods() -> None:
    """FriendlySAM keeps a mean of gradients, as large as the parameters."""
    problem, method = Problem(), theirs("FriendlySAM")
    problem.step(method)
    wrapped: dict[str, Any] = method.state_dict()["wrapped"]
    kept = [value["momentum"] for value in wrapped["state"].values()]
    assert [t.shape for t in kept] == [p.shape for p in problem.params]


@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_closure_convention_with_a_model_has_our_direction(batch_norm: bool) -> None:
    """Running statistics too, which it switches off in the model that it is shown."""
    one, other = Problem(batch_norm=batch_norm), Problem(batch_norm=batch_norm)
    method = registry.build_method("plugged_optimizers:WrappingSAM(rho=0.3)")
    assert method.gradient_evaluations == 2
    for _ in range(3):
        torch.testing.assert_close(one.step(method), other.step(SAM(rho=0.3)))
    for name, value in other.model.state_dict().items():
        torch.testing.assert_close(one.model.state_dict()[name], value, rtol=1e-10, atol=1e-12)
    assert one.calls == 6


def test_a_plain_wrapper_of_an_instance_hands_on_its_gradient() -> None:
    one, other = Problem(), Problem()
    method = registry.build_method("plugged_optimizers:Doubling(factor=3)")
    tripled = [3 * g for g in other.direction(SGD())]
    assert all(map(torch.equal, one.direction(method), tripled))
    assert (method.gradient_evaluations, one.calls) == (1, 1)


def test_a_base_that_is_not_asked_to_step_is_an_error() -> None:
    method = registry.build_method("plugged_optimizers:Idle")
    with pytest.raises(RuntimeError, match="without its base optimizer's"):
        Problem().direction(method)


def test_what_the_package_does_wrong_is_not_put_right() -> None:
    """Its two passes both move running statistics."""
    one, other = Problem(batch_norm=True), Problem(batch_norm=True)
    one.direction(theirs("SAM"))
    other.direction(SAM(rho=0.05))
    seen = [problem.model.state_dict()["1.num_batches_tracked"] for problem in (one, other)]
    assert seen == [2, 1]


def test_a_wrapped_optimizer_is_a_value() -> None:
    cls = registry.METHODS.find("plugged_optimizers:Doubling")
    assert issubclass(cls, WrappedOptimizer)
    assert cls() == cls(factor=2)
    assert cls() != cls(factor=3)
    assert str(cls(factor=3)) == "plugged_optimizers.Doubling(factor=3)"
    spelled = "plugged_optimizers.Doubling(factor=2)"
    assert registry.spell_method("plugged_optimizers:Doubling") == spelled
    assert registry.spell_method(spelled) == spelled


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("torch.optim:SGD", "name it among optimizers"),
        ("plugged_optimizers:ClosureSAM", "name it among optimizers"),
        ("plugged_optimizers:Doubling(strength=2)", "it takes factor"),
    ],
)
def test_what_is_no_method_is_refused(text: str, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        registry.build_method(text)


def test_what_a_spec_cannot_give_is_named() -> None:
    with pytest.raises(RequestError, match="rho_scheduler"):
        theirs("GSAM")
