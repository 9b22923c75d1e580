"""The passes of one training step, with the side effects of a single pass.

Most methods evaluate the loss more than once on the same mini-batch. A forward pass does more than
return a loss: it moves batch-norm statistics and draws random numbers. :class:`Step` makes the
passes after the first see what the first one saw and leave no trace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.utils.hooks import RemovableHandle

LossFunction = Callable[[], Tensor]


class Step:
    """One step of a method: ``with Step(loss_fn, params) as step: ...``.

    - :meth:`first` runs the pass at θ, :meth:`again` a further pass on the same mini-batch;
    - :meth:`at` puts the parameters elsewhere for the length of a ``with``;
    - when the ``with`` ends by an exception, buffers are as they were when it began.

    Parameters are moved by pointing ``p.data`` to other memory and back, never by arithmetic:
    that is exact to the bit, and it costs neither the copy that saves θ nor the one that restores it.

    Buffers are those of every module called by the first pass and of the modules inside it, while
    they are in training mode. Statistics kept elsewhere are not known here: a direct call of
    ``torch.nn.functional.batch_norm`` on plain tensors moves them in every pass.

    Args:
        loss_fn: runs a forward pass and returns the scalar loss, not yet differentiated.
        params: the parameters to train; those with ``requires_grad=False`` are passed over.
    """

    def __init__(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> None:
        self._loss_fn = loss_fn
        self.params = [p for p in dict.fromkeys(params) if p.requires_grad]
        self._stateful: dict[nn.Module, bool] = {}  # module -> is it a batch norm?
        self._before: list[tuple[Tensor, Tensor]] = []

    def __enter__(self) -> Step:
        devices = {p.device for p in self.params if p.is_cuda}
        self._random_states = [(device, torch.cuda.get_rng_state(device)) for device in devices]
        self._cpu_random_state = torch.get_rng_state()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            _put_back(self._before)

    def first(self) -> Tensor:
        """The loss at θ, with its graph. Clears every ``p.grad``."""
        for p in self.params:
            p.grad = None
        with _on_module_call(self._note):
            return self._loss_fn()

    def _note(self, called: nn.Module) -> None:
        """Save the buffers of ``called`` and of the modules inside it, before they can move."""
        pending = [called]
        while pending:
            module = pending.pop()
            pending += [m for m in module._modules.values() if m is not None]
            if module._buffers and module.training and module not in self._stateful:
                saved = _saved(module)
                if saved:
                    self._before += saved
                    self._stateful[module] = isinstance(module, _BatchNorm)

    def again(self) -> Tensor:
        """The loss at the parameters' present values, same mini-batch and random draws.

        The random generators end where the first pass left them if this pass draws as much, as the
        same forward pass does.
        """
        torch.set_rng_state(self._cpu_random_state)
        for device, state in self._random_states:
            torch.cuda.set_rng_state(state, device)
        batch_norms = [m for m, is_batch_norm in self._stateful.items() if is_batch_norm]
        others = [m for m, is_batch_norm in self._stateful.items() if not is_batch_norm]
        after_first = [pair for module in others for pair in _saved(module)]
        # PyTorch's own switch: normalise by the batch, leave the running statistics alone.
        for module in batch_norms:
            module.track_running_stats = False
        try:
            return self._loss_fn()
        finally:
            for module in batch_norms:
                module.track_running_stats = True
            _put_back(after_first)

    @contextmanager
    def at(self, params: Sequence[Tensor], values: Sequence[Tensor]) -> Iterator[None]:
        """Let ``params`` hold ``values`` (same shapes, dtypes and devices) inside the ``with``."""
        kept = [p.data for p in params]
        try:
            for p, value in zip(params, values, strict=True):
                p.data = value
            yield
        finally:
            for p, value in zip(params, kept, strict=True):
                p.data = value

    def with_gradient(self) -> list[Tensor]:
        """The parameters that the passes so far gave a gradient."""
        return [p for p in self.params if p.grad is not None]


@contextmanager
def _on_module_call(note: Callable[[nn.Module], None]) -> Iterator[None]:
    """Call ``note(module)`` before every outermost module call inside the ``with``.

    PyTorch's global hook slows every call of every module while it stands, so it is taken away
    while the outermost module runs and set up again when that is done.
    """
    handles: list[RemovableHandle] = []

    def enter(module: nn.Module, _: object) -> None:
        remove()
        handles.append(module.register_forward_hook(leave, always_call=True))
        note(module)

    def leave(*_: object) -> None:
        remove()
        handles.append(register_module_forward_pre_hook(enter))

    def remove() -> None:
        while handles:
            handles.pop().remove()

    handles.append(register_module_forward_pre_hook(enter))
    try:
        yield
    finally:
        remove()


def _saved(module: nn.Module) -> list[tuple[Tensor, Tensor]]:
    return [(b, b.clone()) for b in module._buffers.values() if b is not None]


@torch.no_grad()
def _put_back(saved: list[tuple[Tensor, Tensor]]) -> None:
    for buffer, value in saved:
        buffer.copy_(value)
