r"""Methods that combine the gradients at two points: SGD, SAM, F-GR, B-GR and their family.

With g = ∇L(θ) on the mini-batch and g' = ∇L(θ') on the *same* mini-batch, all of them are

    θ' = θ + s·g,    d = (1 - c)·g + c·g',

and differ in the step s and the weight c alone. The second pass is differentiated with the factor c
in front of its loss and accumulates onto (1 - c)·g, so that one gradient buffer is enough. A step
holds θ, θ' and one gradient: one parameter copy more than SGD.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from .base import Method, Number, is_zero, require_at_least_zero, require_positive
from .fleet import differentiate, is_stacked, per_run_each
from .scaling import LossScale
from .step import LossFunction, Step


@dataclass(frozen=True)
class TwoPoint(Method):
    """The kernel of the family; a subclass says what :attr:`weight` and :meth:`scale` are."""

    passes: ClassVar[int] = 2
    scalable: ClassVar[bool] = True
    maskable: ClassVar[bool] = True

    @property
    def keeps_gradient(self) -> bool:
        """True unless the first gradient has no share in the direction, as in SAM's."""
        return self.gradient_evaluations > 1 and not is_zero(1 - self.weight)

    @property
    @abstractmethod
    def weight(self) -> Number:
        """c, the share of the second gradient."""

    @abstractmethod
    def scale(self, gradients: list[Tensor]) -> Number:
        """s, the step to the second point: a number, or a 0-d tensor that depends on g."""

    def perturbed(self, params: list[Tensor]) -> list[Tensor]:
        """θ' = θ + s·g, in memory of its own; ``p.grad`` is g."""
        gradients = [p.grad for p in params if p.grad is not None]
        return offset(params, gradients, self.scale(gradients), self)

    def _perturbed_within(self, params: list[Tensor], longest: Number | None) -> list[Tensor]:
        """The same, with g of the norm ``longest`` at most where the method is ``clippable``."""
        if longest is None or not self.clippable:
            return self.perturbed(params)
        gradients = [p.grad for p in params if p.grad is not None]
        scale = shortened(self.scale(gradients), longest, gradients, self)
        return offset(params, gradients, scale, self)

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        """See :meth:`Method.backward`."""
        with Step(loss_fn, params) as step:
            loss = step.first()
            scale = LossScale(loss_fn, loss)
            differentiate(self, loss, scale.value)
            reached = step.with_gradient()
            moved = step.movable(reached)
            if moved and not is_zero(self.weight):
                scale.unscale(reached)
                with torch.no_grad():
                    elsewhere = self._perturbed_within(moved, step.longest)
                keep_share(reached, 1 - self.weight, scale.value)
                with step.at(moved, elsewhere):
                    differentiate(self, step.again(), self.weight * scale.value)
                fill_gradients(reached)  # without one at θ', d = (1 - c)·g + c·0
            return loss.detach()


def keep_share(params: list[Tensor], share: Number, scale: Number = 1.0) -> None:
    """g <- share·scale·g in place; with a share of 0 the memory of g is let go."""
    if is_zero(share):
        for p in params:
            p.grad = None
        return
    multiply([p.grad for p in params if p.grad is not None], share * scale)


def multiply(tensors: list[Tensor], factor: Number) -> None:
    """tensors <- factor·tensors in place; the factor is a number, or one a run."""
    if not isinstance(factor, Tensor):
        if factor != 1:
            torch._foreach_mul_(tensors, factor)
    elif factor.ndim == 0:
        torch._foreach_mul_(tensors, factor.to(tensors[0].dtype))
    else:
        torch._foreach_mul_(tensors, per_run_each(factor, tensors))


def offset(
    params: list[Tensor], directions: list[Tensor], scale: Number, method: Method
) -> list[Tensor]:
    """params + scale·directions, in the method's workspace; the scale is a number, or one a run.

    On a CPU new memory is what costs. On a GPU the workspace keeps θ' at one address in every step,
    which captured graphs need, and a few fused launches beat one launch a tensor. Scales that
    differ from run to run (a fleet's ρ/‖g‖ always do) take that one: PyTorch fuses products of many
    tensors with one number, and not with a vector that is broadcast over each.
    """
    moved = method.workspace.like(params)
    for_all = not isinstance(scale, Tensor) or scale.ndim == 0
    if params[0].is_cuda and for_all:
        torch._foreach_copy_(moved, directions)
        torch._foreach_mul_(moved, scale)
        torch._foreach_add_(moved, params)
        return moved
    if isinstance(scale, Tensor):
        scales = per_run_each(scale, params)
        for p, direction, own, out in zip(params, directions, scales, moved, strict=True):
            torch.addcmul(p, direction, own, out=out)
    else:
        for p, direction, out in zip(params, directions, moved, strict=True):
            torch.add(p, direction, alpha=scale, out=out)
    return moved


def weighted_sum(
    a: Number, first: list[Tensor], b: Number, second: list[Tensor], *, out: list[Tensor]
) -> None:
    """out <- a·first + b·second, the weights numbers, or one a run; see :func:`offset`."""
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        for x, to, own in zip(first, out, _each(a, out), strict=True):
            torch.mul(x, own, out=to)
        for y, to, own in zip(second, out, _each(b, out), strict=True):
            to.addcmul_(y, own)
    elif out[0].is_cuda:
        torch._foreach_copy_(out, first)
        torch._foreach_mul_(out, a)
        torch._foreach_add_(out, second, alpha=b)
    else:
        for x, y, to in zip(first, second, out, strict=True):
            torch.mul(x, a, out=to).add_(y, alpha=b)


def _each(value: Number, like: list[Tensor]) -> list[Tensor]:
    if isinstance(value, Tensor):
        return per_run_each(value, like)
    return [torch.full((), value, dtype=t.dtype, device=t.device) for t in like]


def shortened(
    scale: Number, longest: Number | None, gradients: list[Tensor], method: Method
) -> Number:
    """scale·min(1, longest/‖gradients‖): the multiple of gradients that are kept to a norm."""
    if longest is None:
        return scale
    return scale * radius_over_norm(longest, gradients, method).clamp(max=1)


def radius_over_norm(radius: Number, tensors: list[Tensor], method: Method) -> Tensor:
    """radius/‖tensors‖₂ as a 0-d tensor, without waiting for the device; 0 where the norm is 0.

    For a stacked method the norms are those of the tensors' slices, (R,), and so is the result.
    """
    norm = norm_of(tensors, method)
    radius = radius.to(norm) if isinstance(radius, Tensor) else radius
    return torch.where(norm > 0, radius / norm, 0.0)


def norm_of(tensors: list[Tensor], method: Method) -> Tensor:
    """‖tensors‖₂ as a 0-d tensor; for a stacked method those of the tensors' slices, (R,)."""
    norm: Tensor
    if is_stacked(method):
        norms = [torch.linalg.vector_norm(t.flatten(1), dim=1) for t in tensors]
        norm = torch.linalg.vector_norm(torch.stack(norms), dim=0)
    else:
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(tensors)))
    return norm


def share_along(
    tensors: list[Tensor], directions: list[Tensor], norm: Tensor, method: Method
) -> Tensor:
    """<a, b>/‖b‖², the multiple of the directions b in the tensors a, shaped as :func:`norm_of`.

    It is 0 where ‖b‖ is 0.

    Args:
        tensors: a.
        directions: b, of the same shapes.
        norm: ‖b‖, which may be that of more tensors than are given.
        method: whose step it is.
    """
    pairs = zip(tensors, directions, strict=True)
    if is_stacked(method):
        product = torch.stack([(a * b).flatten(1).sum(1) for a, b in pairs]).sum(0)
    else:
        product = torch.stack([(a * b).sum() for a, b in pairs]).sum()
    return torch.where(norm > 0, product / norm / norm, 0.0)  # ‖b‖² might be beyond all numbers


def fill_gradients(params: list[Tensor]) -> None:
    """Count parameters that a pass gave no gradient as having one of 0."""
    for p in params:
        if p.grad is None:
            p.grad = torch.zeros_like(p)


@dataclass(frozen=True)
class SGD(Method):
    """Plain gradient: d = g.

    It is what the others are compared with, so it is the plain training loop and adds nothing to
    it: after an exception, buffers are as the loop would leave them.
    """

    name: ClassVar[str] = "sgd"
    stackable: ClassVar[bool] = True
    scalable: ClassVar[bool] = True
    maskable: ClassVar[bool] = True
    passes: ClassVar[int] = 1

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        """See :meth:`Method.backward`."""
        for p in params:
            p.grad = None
        loss = loss_fn()
        differentiate(self, loss, LossScale(loss_fn, loss).value)
        return loss.detach()


@dataclass(frozen=True)
class _OneSidedGR(TwoPoint):
    """Gradient regularization by a one-sided finite difference: s = ±ε, c = ±γ/ε."""

    sign: ClassVar[int]
    clippable: ClassVar[bool] = True
    penalty: ClassVar[str | None] = "gamma"
    gamma: Number = 0.1
    epsilon: Number = 0.05

    def __post_init__(self) -> None:
        require_at_least_zero(gamma=self.gamma)
        require_positive(epsilon=self.epsilon)
        super().__post_init__()

    @property
    def weight(self) -> Number:
        """c = ±γ/ε."""
        return self.sign * self.gamma / self.epsilon

    def scale(self, gradients: list[Tensor]) -> Number:
        """s = ±ε."""
        return self.sign * self.epsilon


@dataclass(frozen=True)
class ForwardGR(_OneSidedGR):
    """Gradient regularization by a forward finite difference: s = ε, c = γ/ε.

    d = g + γ·(∇L(θ + εg) - g)/ε, which tends to g + γ·Hg, the gradient of L + (γ/2)·‖∇L‖², as
    ε -> 0. Ascent, then descent. With γ = ε it is :class:`UnnormalizedSAM`.

    Args:
        gamma: γ >= 0, strength of the penalty (γ/2)·‖∇L‖². With 0 the step is SGD's, one pass.
        epsilon: ε > 0, ascent step (a multiple of the unnormalised gradient).

    Source: Karakida et al., ICML 2023 (arXiv 2210.02720), Algorithm 1.
    """

    name: ClassVar[str] = "f-gr"
    stackable: ClassVar[bool] = True
    sign: ClassVar[int] = 1


@dataclass(frozen=True)
class BackwardGR(_OneSidedGR):
    """Gradient regularization by a backward finite difference: s = -ε, c = -γ/ε.

    d = g + γ·(g - ∇L(θ - εg))/ε, which tends to g + γ·Hg, the gradient of L + (γ/2)·‖∇L‖², as
    ε -> 0. Descent first.

    Args:
        gamma: γ >= 0, strength of the penalty (γ/2)·‖∇L‖². With 0 the step is SGD's, one pass.
        epsilon: ε > 0, descent step (a multiple of the unnormalised gradient).

    Source: Karakida et al., ICML 2023 (arXiv 2210.02720).
    """

    name: ClassVar[str] = "b-gr"
    stackable: ClassVar[bool] = True
    sign: ClassVar[int] = -1


@dataclass(frozen=True)
class _PerturbedGradient(TwoPoint):
    """The gradient at the second point alone: c = 1, d = ∇L(θ')."""

    rho: Number = 0.05

    def __post_init__(self) -> None:
        require_at_least_zero(rho=self.rho)
        super().__post_init__()

    @property
    def weight(self) -> float:
        """c = 1."""
        return 1.0


@dataclass(frozen=True)
class UnnormalizedSAM(_PerturbedGradient):
    """SAM without the normalisation of its ascent step: s = ρ, c = 1, d = ∇L(θ + ρg).

    It is :class:`ForwardGR` with γ = ε = ρ.

    Args:
        rho: ρ >= 0, ascent step (a multiple of the gradient).

    Source: Andriushchenko & Flammarion, ICML 2022 (arXiv 2206.06232).
    """

    name: ClassVar[str] = "unnormalized-sam"
    clippable: ClassVar[bool] = True
    stackable: ClassVar[bool] = True

    def scale(self, gradients: list[Tensor]) -> Number:
        """s = ρ."""
        return self.rho


@dataclass(frozen=True)
class SAM(_PerturbedGradient):
    """Sharpness-aware minimization: s = ρ/‖g‖, c = 1, d = ∇L(θ + ρ·g/‖g‖).

    It is :class:`ForwardGR` with γ = ε = ρ/‖g‖. A zero gradient gives a zero perturbation.

    Args:
        rho: ρ >= 0, radius of the ascent step in parameter space.

    Source: Foret et al., ICLR 2021 (arXiv 2010.01412).
    """

    name: ClassVar[str] = "sam"
    stackable: ClassVar[bool] = True

    def scale(self, gradients: list[Tensor]) -> Tensor:
        """s = ρ/‖g‖."""
        return radius_over_norm(self.rho, gradients, self)


@dataclass(frozen=True)
class GNP(TwoPoint):
    """Gradient norm penalty: s = r/‖g‖, c = α, d = (1 - α)·g + α·∇L(θ + r·g/‖g‖).

    It penalises λ·‖∇L‖, not its square, with λ = α·r.

    Args:
        r: r >= 0, radius of the ascent step in parameter space.
        alpha: α in [0, 1], share of the second gradient; 0 is SGD, 1 is SAM.

    Source: Zhao, Zhang & Hu, ICML 2022 (arXiv 2202.03599).
    """

    r: Number = 0.05
    alpha: Number = 0.8
    name: ClassVar[str] = "gnp"
    penalty: ClassVar[str | None] = "alpha"
    stackable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_at_least_zero(r=self.r, alpha=self.alpha)
        if self.alpha > 1:
            raise ValueError(f"alpha must be in [0, 1], not {self.alpha!r}")
        super().__post_init__()

    @property
    def weight(self) -> Number:
        """c = α."""
        return self.alpha

    def scale(self, gradients: list[Tensor]) -> Tensor:
        """s = r/‖g‖."""
        return radius_over_norm(self.r, gradients, self)


@dataclass(frozen=True)
class ASAM(_PerturbedGradient):
    """Adaptive SAM: θ' = θ + ρ·T²g/‖Tg‖ with T = diag|θ|, c = 1, d = ∇L(θ').

    A parameter that is 0 is not perturbed: the paper's η, which adds a constant to T, is 0 here.

    Args:
        rho: ρ >= 0, radius of the ascent step in units of the parameters' own size.

    Source: Kwon et al., ICML 2021 (arXiv 2102.11600), elementwise operator.
    """

    rho: Number = 0.5
    name: ClassVar[str] = "asam"
    stackable: ClassVar[bool] = True

    def scale(self, gradients: list[Tensor]) -> Tensor:
        """ρ/‖Tg‖, given Tg."""
        return radius_over_norm(self.rho, gradients, self)

    def perturbed(self, params: list[Tensor]) -> list[Tensor]:
        """θ' = θ + ρ·T²g/‖Tg‖; T enters squared, so that the sign of θ does not matter."""
        # c = 1: the gradient's memory is let go after this, so T·g can take its place.
        scaled = [p.grad.mul_(p) for p in params if p.grad is not None]
        scale = self.scale(scaled)
        for p, direction in zip(params, scaled, strict=True):
            direction.mul_(p)
        return offset(params, scaled, scale, self)
