"""Muon for matrices and AdamW for the rest, as one optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from .eager import AdamW


class Muon(torch.optim.Optimizer):
    """``torch.optim.Muon`` for parameters of two dimensions, AdamW for all others.

    A matrix moves by its momentum, orthogonalised: B <- μ·B + (1 - μ)·d,
    θ <- θ - η·λ·θ - η·s·NS(B), s = 0.2·√max(rows, columns). That makes the update as large as
    AdamW's, so that one learning rate serves both parts. Kernels of convolutions are no matrices
    here. Embeddings and a last linear layer are, which some recipes leave to AdamW.

    Args:
        params: the parameters themselves, not in groups.
        lr: η of both parts.
        weight_decay: λ of both parts.
        momentum: μ.
        nesterov: NS(d + μ·B) in the place of NS(B), as Nesterov's momentum has it.
        ns_steps: Newton-Schulz iterations, in bfloat16.
        betas: of AdamW.
        eps: of AdamW.

    Raises:
        ValueError: a number out of range, or a PyTorch before 2.9, which has no Muon.

    Source: Jordan et al. 2024 (https://kellerjordan.github.io/posts/muon); the scale s is that of
    Liu et al. 2025 (arXiv 2502.16982).
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_steps: int = 5,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        if not hasattr(torch.optim, "Muon"):
            raise ValueError(f"PyTorch {torch.__version__} has no Muon: 2.9 and later have")
        params = list(params)
        matrices = [p for p in params if p.ndim == 2]
        others = [p for p in params if p.ndim != 2]
        self._parts: list[torch.optim.Optimizer] = []
        if others:
            self._parts.append(AdamW(others, lr, betas, eps, weight_decay))
        if matrices:
            self._parts.append(
                torch.optim.Muon(
                    matrices,
                    lr,
                    weight_decay,
                    momentum,
                    nesterov,
                    ns_steps=ns_steps,
                    adjust_lr_fn="match_rms_adamw",
                )
            )
        groups = [group for part in self._parts for group in part.param_groups]
        super().__init__(groups, {})
        self._share()

    def _share(self) -> None:
        """Let the parts have the groups and the state of the whole."""
        for part, group in zip(self._parts, self.param_groups, strict=True):
            part.param_groups = [group]
            part.state = self.state

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of every part."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self._parts:
            part.step()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Be where the optimizer was that gave ``state_dict``."""
        super().load_state_dict(state_dict)
        self._share()
