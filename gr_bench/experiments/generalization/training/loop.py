"""One run at a time: the reference, which trains anything."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from gr_bench.experiments.generalization.cell import GeneralizationCell
from gr_bench.experiments.generalization.training.splits import AnyPart, Splits
from gr_bench.experiments.generalization.training.trainer import Evaluation, Trainer
from gr_bench.meters.curvature import gradient_norm, parameter_norm
from gr_bench.meters.device import Device
from gr_bench.methods import Method
from gr_bench.optimizers.convention import Convention
from gr_bench.timing.first_step import first_step
from gr_bench.workloads.datasets import Dataset
from gr_bench.workloads.loss import accuracy, cross_entropy, hits


class Loop(Trainer):
    """A trainer of one run, with PyTorch's own optimizer."""

    name = "loop"

    def __init__(self, cell: GeneralizationCell, data: Dataset | Splits, device: Device) -> None:
        super().__init__([cell], data, device)
        self.training = self._built(cell)

    @property
    def method(self) -> Method:
        """See :attr:`Trainer.method`."""
        return self.training.method

    def passes(self, run: int, done: int, taken: int) -> float:
        """See :meth:`Trainer.passes`; those that an optimizer with a closure asked for."""
        if self.training.convention is Convention.PLAIN:
            return super().passes(run, done, taken)
        each = self.method.gradient_evaluations
        return done * each * self.training.evaluations / taken

    def model(self, run: int) -> nn.Module:
        """See :meth:`Trainer.model`."""
        return self.training.model.eval()

    def step(self, inputs: Tensor, targets: Tensor, rate: float) -> Tensor:
        """See :meth:`Trainer.step`; R = 1."""
        self.training.model.train()
        for group in self.training.optimizer.param_groups:
            group["lr"] = rate * self.cells[0].learning_rate
        watched = first_step(self.training) if self._is_new else nullcontext()
        self._is_new = False
        with watched:
            return self.training.step(inputs[0], targets[0])[None]

    def parameter_norms(self) -> list[float]:
        """See :meth:`Trainer.parameter_norms`."""
        return [parameter_norm(self.training.model.parameters())]

    def _own_state(self) -> dict[str, Any]:
        model, scaler = self.training.model, self.training.scaler
        state = {
            "params": dict(model.named_parameters()),
            "buffers": dict(model.named_buffers()),  # also those that a state dict leaves out
            "optimizer": self.training.optimizer.state_dict(),
            "evaluations": self.training.evaluations,
        }
        return state if scaler is None else state | {"scaler": scaler.state_dict()}

    @torch.no_grad()
    def _set_own_state(self, state: dict[str, Any]) -> None:
        model = self.training.model
        for name, value in state["params"].items():
            model.get_parameter(name).copy_(value)
        for name, value in state["buffers"].items():
            model.get_buffer(name).copy_(value)
        self.training.optimizer.load_state_dict(state["optimizer"])
        self.training.evaluations = state.get("evaluations", 0)
        if self.training.scaler is not None:
            self.training.scaler.load_state_dict(state["scaler"])

    def evaluate(
        self, part: AnyPart, *, with_gradient: bool = False, with_hits: bool = False
    ) -> list[Evaluation]:
        """See :meth:`Trainer.evaluate`."""
        piece = self.piece()
        model = self.training.model.eval()
        for p in model.parameters():
            p.grad = None
        total_loss = torch.zeros((), device=part.inputs.device, dtype=torch.float64)
        total_accuracy = torch.zeros_like(total_loss)
        found: list[Tensor] = []
        with torch.set_grad_enabled(with_gradient):
            for inputs, targets in part.pieces(piece):
                share = len(inputs) / len(part)
                logits = model(inputs)
                loss = cross_entropy(logits, targets) * share
                if with_gradient:
                    loss.backward()
                total_loss += loss.detach()
                total_accuracy += accuracy(logits, targets) * share
                if with_hits:
                    found.append(hits(logits, targets))
        norm = float(gradient_norm(model.parameters())) if with_gradient else None
        right = torch.cat(found).cpu().numpy() if with_hits else None
        return [Evaluation(float(total_loss), float(total_accuracy), norm, right)]
