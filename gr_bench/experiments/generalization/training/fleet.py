"""Many runs at once: parameters stacked, one vectorised pass for all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, vmap

from gr_bench.errors import Unsupported
from gr_bench.experiments.generalization.cell import GeneralizationCell, has_fleet
from gr_bench.experiments.generalization.training.fleet_optimizers import OF_FLEETS, Rates
from gr_bench.experiments.generalization.training.splits import AnyPart, SplitPart, Splits
from gr_bench.experiments.generalization.training.trainer import Evaluation, Trainer
from gr_bench.meters.device import Device
from gr_bench.methods import Method, stack
from gr_bench.spec import parse
from gr_bench.timing.first_step import FirstStep
from gr_bench.workloads.datasets import Dataset
from gr_bench.workloads.loss import accuracy, cross_entropy, hits


class Fleet(Trainer):
    """Runs that differ in seeds, learning rate and the numbers of their method alone.

    Every parameter and buffer is stacked to (R, ...), and the forward pass is mapped over the runs
    (``torch.func.vmap``). The methods are the loop's own (:func:`gr_bench.methods.stack`).

    Raises:
        ValueError: methods of different classes, or one that cannot be stacked.
        Unsupported: a gradient scaler, whose overflows are one run's own, or an optimizer that
            steps one run alone.
    """

    name = "fleet"

    def __init__(
        self, cells: Sequence[GeneralizationCell], data: Dataset | Splits, device: Device
    ) -> None:
        super().__init__(cells, data, device)
        if not has_fleet(cells[0].optimizer):
            raise Unsupported(
                f"runs with {cells[0].optimizer} are trained one by one: trainer = loop"
            )
        runs = [self._built(cell) for cell in cells]
        if runs[0].scaler is not None:
            raise Unsupported("runs with a gradient scaler are trained one by one: trainer = loop")
        self._method: Method = stack([run.method for run in runs], device.torch_device)
        self._model = runs[0].model
        self._autocast = runs[0].autocast
        self.params: dict[str, Tensor] = {
            name: nn.Parameter(torch.stack([run.model.get_parameter(name).data for run in runs]))
            for name, _ in self._model.named_parameters()
        }
        self.buffers = {
            name: torch.stack([run.model.get_buffer(name) for run in runs])
            for name, _ in self._model.named_buffers()
        }
        self._method.begin(self.params, self.steps)
        self._optimizer = OF_FLEETS[parse(cells[0].optimizer).name](
            list(self.params.values()), runs[0].optimizer.defaults
        )
        rates = [cell.learning_rate for cell in cells]
        self._rates: Rates = rates[0]
        if len({*rates}) > 1:
            self._rates = torch.tensor(rates, dtype=torch.float64, device=device.torch_device)

    @property
    def method(self) -> Method:
        """See :attr:`Trainer.method`."""
        return self._method

    def model(self, run: int) -> nn.Module:
        """See :meth:`Trainer.model`: the run's slices, copied into a module."""
        state = {
            name: value[run].detach() for name, value in {**self.params, **self.buffers}.items()
        }
        self._model.load_state_dict(state, strict=False)  # buffers may be missing in a state dict
        return self._model.eval()

    def step(self, inputs: Tensor, targets: Tensor, rate: float) -> Tensor:
        """See :meth:`Trainer.step`."""
        self._model.train()
        params = list(self.params.values())
        first = FirstStep(self._method, params) if self._is_new else None
        losses = self._method.backward(_MiniBatch(self, inputs, targets), params)
        if first is not None:
            first.check()
            self._is_new = False
        self._optimizer.step(rate * self._rates)
        return losses

    def losses(self, inputs: Tensor, targets: Tensor, buffers: dict[str, Tensor]) -> Tensor:
        """Every run's loss on its own mini-batch, (R,); moves ``buffers``."""

        def one(
            params: dict[str, Tensor], buffers: dict[str, Tensor], inputs: Tensor, targets: Tensor
        ) -> Tensor:
            return cross_entropy(
                functional_call(self._model, (params, buffers), (inputs,)), targets
            )

        mapped = vmap(one, randomness="different")
        with self._autocast():
            losses: Tensor = mapped(self.params, buffers, inputs, targets)
        return losses

    def parameter_norms(self) -> list[float]:
        """See :meth:`Trainer.parameter_norms`."""
        return _norms(self.params.values())

    def _own_state(self) -> dict[str, Any]:
        return {"params": self.params, "buffers": self.buffers, **self._optimizer.state()}

    @torch.no_grad()
    def _set_own_state(self, state: dict[str, Any]) -> None:
        for name, p in self.params.items():
            p.copy_(state["params"][name])
        for name, buffer in self.buffers.items():
            buffer.copy_(state["buffers"][name])
        self._optimizer.load_state(state)

    def evaluate(
        self, part: AnyPart, *, with_gradient: bool = False, with_hits: bool = False
    ) -> list[Evaluation]:
        """See :meth:`Trainer.evaluate`."""
        piece = self.piece()
        self._model.eval()
        for p in self.params.values():
            p.grad = None

        def one(
            params: dict[str, Tensor], buffers: dict[str, Tensor], inputs: Tensor, targets: Tensor
        ) -> tuple[Tensor, Tensor, Tensor]:
            logits = functional_call(self._model, (params, buffers), (inputs,))
            found = hits(logits, targets)
            return cross_entropy(logits, targets), accuracy(logits, targets), found

        axis = 0 if isinstance(part, SplitPart) else None
        mapped = vmap(one, in_dims=(0, 0, axis, axis), randomness="error")
        shape = (len(self.cells),)
        total_loss = torch.zeros(shape, device=part.inputs.device, dtype=torch.float64)
        total_accuracy = torch.zeros_like(total_loss)
        right: list[Tensor] = []
        with torch.set_grad_enabled(with_gradient):
            for inputs, targets in part.pieces(piece):
                share = inputs.shape[0 if axis is None else 1] / len(part)
                losses, accuracies, found = mapped(self.params, self.buffers, inputs, targets)
                if with_gradient:
                    losses.backward(torch.full_like(losses, share))
                total_loss += losses.detach() * share
                total_accuracy += accuracies * share
                if with_hits:
                    right.append(found)
        norms: list[float | None] = [None] * len(self.cells)
        if with_gradient:
            norms = list(_norms(p.grad for p in self.params.values() if p.grad is not None))
        each: list[NDArray[np.bool_] | None] = [None] * len(self.cells)
        if with_hits:
            each = list(torch.cat(right, dim=1).cpu().numpy())
        totals = (total_loss.tolist(), total_accuracy.tolist())
        return [Evaluation(*values) for values in zip(*totals, norms, each, strict=True)]


@torch.no_grad()
def _norms(tensors: Iterable[Tensor]) -> list[float]:
    """The Euclidean norm of every run's slices, all tensors (R, ...) together."""
    squares = [tensor.flatten(1).double().square().sum(1) for tensor in tensors]
    norms: list[float] = torch.stack(squares).sum(0).sqrt().tolist()
    return norms


class _MiniBatch:
    """The losses of a fleet on one mini-batch, as a method calls for them."""

    def __init__(self, fleet: Fleet, inputs: Tensor, targets: Tensor) -> None:
        self._fleet = fleet
        self._batch = (inputs, targets)
        self._found: dict[str, Tensor] = {}

    def __call__(self) -> Tensor:
        """The first pass: running statistics move."""
        buffers = self._fleet.buffers
        self._found = _copied(buffers)
        return self._fleet.losses(*self._batch, buffers)

    def again(self) -> Tensor:
        """A further pass, from the statistics that the first one found."""
        return self._fleet.losses(*self._batch, _copied(self._found))


def _copied(buffers: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies of stacked buffers (R, ...), made in one piece for each dtype."""
    alike: dict[torch.dtype, list[str]] = defaultdict(list)
    for name, buffer in buffers.items():
        alike[buffer.dtype].append(name)
    copies = {}
    for names in alike.values():
        flat = [buffers[name].flatten(start_dim=0) for name in names]
        values = torch.cat(flat).split([buffer.numel() for buffer in flat])
        for name, value in zip(names, values, strict=True):
            copies[name] = value.view_as(buffers[name])
    return copies
