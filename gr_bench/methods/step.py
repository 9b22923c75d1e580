"""The passes of one training step, with the side effects of a single pass.

Most methods evaluate the loss more than once on the same mini-batch. A forward pass does more than
return a loss: it moves batch-norm statistics and draws random numbers. :class:`Step` makes the
passes after the first see what the first one saw and leave no trace.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, NamedTuple, Protocol, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.nn.parallel import DistributedDataParallel
from torch.utils.hooks import RemovableHandle

from .data_parallel import mean_gradients, mean_over_workers

LossFunction = Callable[[], Tensor]
"""A forward pass. It may be a :class:`RepeatableLoss`. One that has a ``scaler`` is differentiated
under it (:class:`gr_bench.methods.ScaledLoss`); parameters whose ``id`` is among its ``fixed`` are
not perturbed (:class:`gr_bench.methods.Without`)."""


class RepeatableLoss(Protocol):
    """A loss function that knows its own buffers."""

    def __call__(self) -> Tensor:
        """The first pass."""

    def again(self) -> Tensor:
        """A further pass on the same mini-batch, from the buffers that the first one found and
        without a trace in them.
        """


def _is_repeatable(loss_fn: LossFunction) -> TypeGuard[RepeatableLoss]:
    return hasattr(loss_fn, "again")


class Step:
    """One step of a method: ``with Step(loss_fn, params) as step: ...``.

    - :meth:`first` runs the pass at θ, :meth:`again` a further pass on the same mini-batch;
    - :meth:`at` puts the parameters elsewhere for the length of a ``with``; passes in there start
      from the buffers that the first one found, and leave no trace in them;
    - when the ``with`` ends by an exception, buffers are as they were when it began.

    Parameters are moved by pointing ``p.data`` to other memory and back, never by arithmetic:
    that is exact to the bit, and costs neither the copy that saves θ nor the one that restores it.

    Buffers are those of every module that ``loss_fn`` calls and of the modules registered inside
    it, while they are in training mode. Statistics kept elsewhere are not known here: a direct call
    of ``torch.nn.functional.batch_norm`` on plain tensors moves them in every pass.

    A model in ``DistributedDataParallel`` is known when ``loss_fn`` calls the wrapper itself.

    Args:
        loss_fn: runs a forward pass and returns the scalar loss, not yet differentiated.
        params: the parameters to train; those with ``requires_grad=False`` are not moved, and lose
            a ``p.grad`` from before they were frozen.
    """

    def __init__(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> None:
        self._loss_fn = loss_fn
        self.given = list({id(p): p for p in params}.values())
        self.params = [p for p in self.given if p.requires_grad]
        self._fixed: frozenset[int] = getattr(loss_fn, "fixed", frozenset())
        self.longest: float | Tensor | None = getattr(loss_fn, "longest", None)
        """The norm of the gradient that is ascended by, at most; None if it may be any."""
        self._norms: dict[_BatchNorm, bool] = {}  # batch norms, and whether they track statistics
        self._norm_copies: list[Copies] = []
        self._others: dict[nn.Module, list[_SavedBuffer]] = {}
        self.parallel: DistributedDataParallel | None = None
        """The wrapper that the first pass called."""

    def __enter__(self) -> Step:
        # a CUDA graph that is being captured cannot be rewound: it may not draw random numbers
        devices = set() if _is_capturing() else {p.device for p in self.params if p.is_cuda}
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
            for copies in self._norm_copies:
                copies.put_back()
            for saved in self._others.values():
                _put_back(saved)

    def first(self) -> Tensor:
        """The loss at θ, with its graph. Clears every ``p.grad``."""
        for p in self.given:
            p.grad = None
        if _is_repeatable(self._loss_fn):
            return self._loss_fn()
        with _OutermostCalls(self._note):
            return self._loss_fn()

    def _note(self, called: nn.Module) -> None:
        """Save the buffers of ``called`` and of the modules inside it, before they can move."""
        if isinstance(called, DistributedDataParallel):
            self.parallel = called
            return
        pending = [called]
        buffers: list[Tensor] = []
        while pending:
            module = pending.pop()
            pending += [m for m in module._modules.values() if m is not None]
            if not module._buffers or not module.training:
                continue
            if _has_switch(module):
                if module not in self._norms:
                    self._norms[module] = module.track_running_stats
                    buffers += [b for b in module._buffers.values() if b is not None]
            elif module not in self._others:
                self._others[module] = _saved(module)
        if buffers:
            self._norm_copies.append(Copies(buffers))

    def again(self) -> Tensor:
        """The loss at the parameters' present values, same mini-batch and random draws.

        The random generators end where the first pass left them if this pass draws as much, as the
        same forward pass does.
        """
        torch.set_rng_state(self._cpu_random_state)
        for device, state in self._random_states:
            torch.cuda.set_rng_state(state, device)
        if self.parallel is not None:
            # The first pass had the buffers of the first worker; they would be sent once more, over
            # statistics that other workers have moved since.
            self.parallel.require_forward_param_sync = False
        return self._loss_fn.again() if _is_repeatable(self._loss_fn) else self._loss_fn()

    def mean_over_workers(self, tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        """The mean of every tensor over data-parallel workers; the tensors where there are none.

        For what a method reads of a pass before ``p.grad`` has been reduced. With a
        :class:`PerWorker` loss, and inside the wrapper's ``no_sync``, every worker has its own. All
        workers must ask alike.
        """
        wrapper = self.parallel
        if wrapper is None or not wrapper.require_backward_grad_sync:
            return tensors
        if getattr(self._loss_fn, "per_worker", False):
            return tensors
        return mean_over_workers(tensors, wrapper)

    @contextmanager
    def at(self, params: Sequence[Tensor], values: Sequence[Tensor]) -> Iterator[None]:
        """Let ``params`` hold ``values`` (same shapes, dtypes and devices) inside the ``with``.

        The backward pass belongs inside too: it may run modules once more (checkpoints do).
        """
        kept = [p.data for p in params]
        after_first = [_saved(module) for module in self._others]
        try:
            for p, value in zip(params, values, strict=True):
                p.data = value
            torch.clear_autocast_cache()  # its casts of p are those of the old values
            for norm in self._norms:  # these need not be rewound: they do not read what they track
                norm.track_running_stats = False
            for saved in self._others.values():
                _put_back(saved)
            yield
        finally:
            for p, value in zip(params, kept, strict=True):
                p.data = value
            torch.clear_autocast_cache()
            for norm, tracks in self._norms.items():
                norm.track_running_stats = tracks
            for saved in after_first:
                _put_back(saved)

    def with_gradient(self) -> list[Tensor]:
        """The parameters that the passes so far gave a gradient."""
        return [p for p in self.params if p.grad is not None]

    def movable(self, params: list[Tensor]) -> list[Tensor]:
        """Those of ``params`` that are to be perturbed; the loss function may want some fixed."""
        return [p for p in params if id(p) not in self._fixed] if self._fixed else params

    def take_gradients(self, params: Sequence[Tensor]) -> list[Tensor]:
        """The gradients of ``params``, which all have one, to outlive the next pass; ``p.grad`` is
        None afterwards.
        """
        taken = [p.grad for p in params if p.grad is not None]
        if self.parallel is not None and self.parallel.gradient_as_bucket_view:
            taken = [g.clone() for g in taken]  # the next reduction will write there
        for p in params:
            p.grad = None
        return taken

    @contextmanager
    def own_directions(self) -> Iterator[None]:
        """Let each worker make its own direction inside the ``with``, if the loss is a
        :class:`PerWorker`: no pass is reduced, and at the end ``p.grad`` becomes their mean.

        For a direction that is not linear in the gradient of its last pass. It costs a message
        after the step, in the place of one during the pass. Otherwise nothing changes.
        """
        loss_fn: Any = self._loss_fn
        if not getattr(loss_fn, "per_worker", False):
            yield
            return
        model: DistributedDataParallel = loss_fn.model
        if not model.require_backward_grad_sync:
            yield
            return
        with model.no_sync():
            yield
        model.require_forward_param_sync = True  # as after a pass that is reduced
        for p, mean in zip(self.params, mean_gradients(self.params, model), strict=True):
            p.grad = mean


class _OutermostCalls:
    """Calls ``note(module)`` before every outermost module call inside its ``with``.

    PyTorch's global hook slows every call of every module while it stands, so it is taken away
    while the outermost module runs and set up again when that is done. Around a data-parallel
    wrapper it stays: the module inside is called next, once it has the first worker's buffers.
    """

    def __init__(self, note: Callable[[nn.Module], None]) -> None:
        self._note = note
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> None:
        self._handles.append(register_module_forward_pre_hook(self._enter))

    def __exit__(self, *_: object) -> None:
        while self._handles:
            self._handles.pop().remove()

    def _enter(self, module: nn.Module, _: object) -> None:
        if isinstance(module, DistributedDataParallel):
            self._note(module)
            return
        self.__exit__()
        self._handles.append(module.register_forward_hook(self._leave, always_call=True))
        self._note(module)

    def _leave(self, *_: object) -> None:
        self.__exit__()
        self.__enter__()


def _is_capturing() -> bool:
    """True while a CUDA graph is captured; a build for CUDA that sees no GPU raises if asked."""
    cuda = torch.backends.cuda.is_built() and torch.cuda.is_initialized()
    return cuda and torch.cuda.is_current_stream_capturing()


def _has_switch(module: nn.Module) -> TypeGuard[_BatchNorm]:
    """True of a module that normalises by the batch and, told not to, tracks no statistics.

    PyTorch's own batch norm does. A subclass with a forward pass of its own may not.
    """
    return isinstance(module, _BatchNorm) and type(module).forward is _BatchNorm.forward


class Copies:
    """The values of many small buffers, copied in one piece for each dtype and device."""

    def __init__(self, buffers: list[Tensor]) -> None:
        alike: dict[tuple[torch.dtype, torch.device], list[Tensor]] = defaultdict(list)
        for buffer in buffers:
            alike[buffer.dtype, buffer.device].append(buffer)
        self._copies = [(group, _in_one_piece(group)) for group in alike.values()]

    @torch.no_grad()
    def put_back(self, where: Tensor | None = None) -> None:
        """Give every buffer the value that it had.

        Args:
            where: one truth value, on the buffers' device; where it is false nothing changes.
        """
        for group, values in self._copies:
            if where is not None:
                values = torch.where(where, values, _in_one_piece(group))
            pieces = values.split([b.numel() for b in group])
            torch._foreach_copy_(group, [v.view_as(b) for v, b in zip(pieces, group, strict=True)])


def _in_one_piece(tensors: list[Tensor]) -> Tensor:
    return torch.cat([t if t.ndim == 1 else t.reshape(-1) for t in tensors])


class _SavedBuffer(NamedTuple):
    """A module's buffer ``name``: its tensor, and a copy of its value."""

    module: nn.Module
    name: str
    buffer: Tensor | None
    value: Tensor | None


def _saved(module: nn.Module) -> list[_SavedBuffer]:
    return [
        # An expanded buffer cannot be written to, so there is nothing to copy back.
        _SavedBuffer(module, name, b, None if b is None or is_expanded(b) else b.clone())
        for name, b in module._buffers.items()
    ]


def is_expanded(tensor: Tensor) -> bool:
    """True if some of its elements share their memory, so that it cannot be written to."""
    return any(
        stride == 0 and size > 1 for size, stride in zip(tensor.shape, tensor.stride(), strict=True)
    )


@torch.no_grad()
def _put_back(saved: list[_SavedBuffer]) -> None:
    for module, name, buffer, value in saved:
        module._buffers[name] = buffer
        if buffer is not None and value is not None:
            buffer.copy_(value)
