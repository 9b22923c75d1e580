"""PyTorch's optimizers for steps outside of compiled graphs: the same updates, the same hooks.

PyTorch's own ``step`` imports the compiler at the first call, to keep gradients out of graphs that
are being compiled, which takes a second or two of every process that steps.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch.optim.optimizer import ParamsT


def _spare_the_compiler() -> None:
    """Let optimizers be made without importing PyTorch's compiler.

    Some methods of an optimizer are kept out of compiled graphs, by a wrapper that imports the
    compiler at the first call and notes its answer on the function. With nothing to be compiled
    the answer is the function itself.
    """
    for name in ("add_param_group", "zero_grad", "state_dict", "load_state_dict"):
        plain = getattr(getattr(torch.optim.Optimizer, name), "__wrapped__", None)
        if plain is not None and not hasattr(plain, "__dynamo_disable"):
            plain.__dynamo_disable = plain


def _eager(step: Any) -> Any:
    """An optimizer's ``step`` without the wrapper that imports the compiler."""
    return torch.no_grad()(inspect.unwrap(step))


class SGD(torch.optim.SGD):
    """Stochastic gradient descent with momentum: v <- μ·v + (d + λ·θ), θ <- θ - η·v."""

    def __init__(
        self,
        params: ParamsT,
        lr: float,
        momentum: float = 0.9,
        dampening: float = 0.0,
        weight_decay: float = 1e-4,
        nesterov: bool = False,
        *,
        foreach: bool | None = None,
        fused: bool | None = None,
    ) -> None:
        _spare_the_compiler()
        super().__init__(
            params, lr, momentum, dampening, weight_decay, nesterov, foreach=foreach, fused=fused
        )

    step = _eager(torch.optim.SGD.step)


class AdamW(torch.optim.AdamW):
    """Adam with decoupled weight decay: θ <- θ - η·λ·θ - η·m̂/(√v̂ + ε).

    m̂ and v̂ are means of d and d², with the bias of their zero start taken out.

    Source: Loshchilov & Hutter, ICLR 2019 (arXiv 1711.05101).
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        capturable: bool = False,
        fused: bool | None = None,
    ) -> None:
        _spare_the_compiler()
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            capturable=capturable,
            fused=fused,
        )

    step = _eager(torch.optim.Adam.step)


class Adam(torch.optim.Adam):
    """Adam: θ <- θ - η·m̂/(√v̂ + ε), weight decay as a part of the gradient.

    Source: Kingma & Ba, ICLR 2015 (arXiv 1412.6980).
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        capturable: bool = False,
        fused: bool | None = None,
    ) -> None:
        _spare_the_compiler()
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            capturable=capturable,
            fused=fused,
        )

    step = _eager(torch.optim.Adam.step)
