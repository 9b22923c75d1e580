"""A training step put together as a cell says: the one builder of what is timed and trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from ..errors import Unsupported
from ..methods.scaling import scaled_step
from ..optimizers import SGD
from ..optimizers.convention import Convention, find_convention, take_step
from ..workloads.loss import cross_entropy
from .variant import CUDA_GRAPH, FUSED, REDUCE_OVERHEAD, memory_format, refuse, switches

if TYPE_CHECKING:
    from ..methods import Method
    from ..workloads.datasets import Dataset

SEED = 0
"""Of the model in every step that is timed."""

MOMENTUM, WEIGHT_DECAY = 0.9, 1e-4
"""Of SGD in every step that is timed."""

MIXED = {"bfloat16-mixed": torch.bfloat16, "float16-mixed": torch.float16}
"""The dtypes of cells with float32 parameters whose forward passes are cast, and to what."""

SCALED = "float16-mixed"
"""The dtype of cells with a gradient scaler."""

MOST_OVERFLOWS = 64
"""Steps in which a scale may fall before it counts as settled: from 2^16 it is then at 2^-48."""

Batch = tuple[Tensor, Tensor]


class StepFields(Protocol):
    """The fields of a cell that decide what its step is."""

    @property
    def spec(self) -> str:
        """The method."""

    @property
    def model(self) -> str:
        """The model."""

    @property
    def dataset(self) -> str:
        """The data set."""

    @property
    def batch_size(self) -> int:
        """Examples in a mini-batch."""

    @property
    def device(self) -> str:
        """``cpu``, ``cuda`` or ``cuda:N``."""

    @property
    def dtype(self) -> str:
        """Of parameters and data, or :data:`MIXED`."""

    @property
    def compiled(self) -> bool:
        """True if forward and backward passes run under ``torch.compile``."""

    @property
    def variant(self) -> str:
        """Further switches (:mod:`gr_bench.timing.variant`)."""

    @property
    def optimizer(self) -> str:
        """The optimizer."""


class StepRegistry(Protocol):
    """The part of :mod:`gr_bench.registry`, this revision's or another's, that a step needs."""

    def build_method(self, text: str, /) -> Any:
        """A method."""

    def build_model(self, text: str, input_shape: tuple[int, ...], num_classes: int, /) -> Any:
        """A model."""

    def build_dataset(self, text: str, /) -> Any:
        """A data set."""

    def build_optimizer(
        self, text: str, params: Iterable[Tensor], learning_rate: float, /, **settings: Any
    ) -> Any:
        """An optimizer; that of the cells that name none is not asked for."""


@dataclass
class Training:
    """Everything that one training step touches."""

    model: nn.Module
    forward: Callable[[Tensor], Tensor]
    """The model as training calls it: itself, or compiled."""

    optimizer: torch.optim.Optimizer
    method: Method
    autocast: Callable[[], AbstractContextManager[object]] = nullcontext
    """Around the forward pass (see :func:`autocast`)."""

    scaler: torch.amp.GradScaler | None = None
    """Of float16's gradients."""

    convention: Convention = Convention.PLAIN
    """The optimizer's."""

    evaluations: int = 0
    """Times so far that an optimizer with a closure asked for the method's gradient."""

    def step(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """One step on one mini-batch; returns the detached loss before it."""
        loss_fn = self.loss_on(inputs, targets)
        if self.scaler is not None:
            return scaled_step(self.method, loss_fn, self.model, self.optimizer, self.scaler)
        if self.convention is not Convention.PLAIN:
            params = list(self.model.parameters())
            evaluate = partial(self.method.backward, loss_fn, params)
            losses = take_step(self.optimizer, evaluate, params, self.convention)
            self.evaluations += len(losses)
            return losses[0]
        loss = self.method.backward(loss_fn, self.model.parameters())
        self.optimizer.step()
        return loss

    def loss_on(self, inputs: Tensor, targets: Tensor) -> MiniBatchLoss:
        """The loss function of one mini-batch."""
        return MiniBatchLoss(self, inputs, targets)


@dataclass(frozen=True, eq=False)
class MiniBatchLoss:
    """The mean cross-entropy of a training's model on one mini-batch."""

    training: Training
    inputs: Tensor
    targets: Tensor

    def __call__(self) -> Tensor:
        """One forward pass."""
        with self.training.autocast():
            return cross_entropy(self.training.forward(self.inputs), self.targets)

    def parts(self, count: int) -> list[MiniBatchLoss]:
        """The losses of ``count`` micro-batches of the same size, whose mean is this one.

        Raises:
            ValueError: the batch size is no multiple of ``count``.
        """
        size = len(self.inputs)
        if size % count:
            raise ValueError(f"a mini-batch of {size} cannot be cut into {count} equal parts")
        pieces = zip(self.inputs.chunk(count), self.targets.chunk(count), strict=True)
        return [MiniBatchLoss(self.training, *piece) for piece in pieces]


@dataclass
class TimedStep:
    """A training with one mini-batch to step on, again and again."""

    training: Training
    batch: Batch
    eager: bool = True
    """True if every launch is the call of an operator: nothing is compiled or replayed."""

    run: Callable[[], Tensor] = field(init=False)
    """The step as it is timed: as it is written, or replayed."""

    def __post_init__(self) -> None:
        self.run = partial(self.training.step, *self.batch)

    def __call__(self) -> Tensor:
        """One step; returns the detached loss before it."""
        return self.run()

    @property
    def cycle(self) -> int:
        """Steps after which the method does the same again; those of older revisions always do."""
        return getattr(self.training.method, "cycle", 1)

    def settle(self) -> Tensor:
        """One step that does not overflow; returns the detached loss before it.

        A gradient scaler begins with a scale that may be too high and lowers it step by step. Each
        attempt draws the same random numbers. Without a scaler the first step is the one.
        """
        scaler = self.training.scaler
        for _ in range(MOST_OVERFLOWS):
            torch.manual_seed(SEED)
            scale = scaler.get_scale() if scaler else 1.0
            loss = self()
            if scaler is None or scaler.get_scale() >= scale:
                break
        return loss


def parameter_dtype(dtype: str) -> torch.dtype:
    """Of parameters and data: under mixed precision, float32."""
    found: torch.dtype = torch.float32 if dtype in MIXED else getattr(torch, dtype)
    return found


def product_dtype(dtype: str) -> torch.dtype:
    """Of matrix products."""
    return MIXED[dtype] if dtype in MIXED else parameter_dtype(dtype)


def autocast(dtype: str, device: torch.device) -> Callable[[], AbstractContextManager[object]]:
    """The context of training's forward passes: ``torch.autocast``, or nothing.

    Parameters, gradients and optimizer state stay in float32. Evaluation, the gradient norm and the
    Hessian are those of the float32 network.
    """
    if dtype in MIXED:
        return lambda: torch.autocast(device.type, MIXED[dtype])
    return nullcontext


def load_data(cell: StepFields, registry: StepRegistry) -> Dataset:
    """The cell's dataset on its device, in its dtype, divided by the cell's split seed.

    Raises:
        RequestError: no such dataset here, its files are not those of the cell, or its parts are
            fixed and the cell asks for others.
        ValueError: the training part is smaller than one batch.
    """
    data: Dataset = registry.build_dataset(cell.dataset)
    if split_seed := getattr(cell, "split_seed", 0):  # as all but trainings, they have none
        data = data.redrawn(split_seed)
    if known := getattr(cell, "data", ""):  # cells that are not a suite's have none
        from ..workloads.datasets.content import same_content  # it reads specs, as this does not

        same_content(cell.dataset, known)
    count = len(data.train.inputs)
    if cell.batch_size > count:
        raise ValueError(f"batch size {cell.batch_size} is more than the {count} training examples")
    return data.to(torch.device(cell.device), parameter_dtype(cell.dtype))


def refuse_data(cell: StepFields, network: nn.Module, data: Dataset) -> None:
    """Raise Unsupported if the model's class says that it takes other inputs than the data has."""
    wanted = getattr(network, "takes_tokens", None)
    inputs, targets = data.train.inputs, data.train.targets
    tokens = not inputs.is_floating_point() and targets.ndim == 2
    floats = inputs.is_floating_point() and targets.ndim == 1
    if wanted is None or (tokens if wanted else floats):
        return
    takes = "whole numbers (N, T) with targets (N, T)" if wanted else "floats with targets (N,)"
    kind = "floats" if inputs.is_floating_point() else "whole numbers"
    targets_shape = "(N, T)" if targets.ndim == 2 else "(N,)"
    raise Unsupported(
        f"{cell.model} takes {takes}, and {cell.dataset} has {kind} with targets {targets_shape}"
    )


def require_supported(cell: StepFields, method: Any, input_shape: tuple[int, ...]) -> None:
    """Refuse a cell that cannot work by the nature of its parts.

    Args:
        cell: whose step it is.
        method: its method.
        input_shape: of one example.

    Raises:
        Unsupported: a method that differentiates twice, in a compiled cell; one that knows of no
            gradient scaler, where there is one; a variant that cannot work.
    """
    if cell.compiled and method.needs_second_derivatives:
        raise Unsupported(f"{method.name} differentiates twice, which torch.compile does not allow")
    if cell.dtype == SCALED and not getattr(method, "scalable", False):
        raise Unsupported(f"{method.name} knows of no gradient scaler, which float16 needs")
    refuse(cell, method, input_shape)


def build_training(
    cell: StepFields,
    data: Dataset,
    registry: StepRegistry,
    *,
    seed: int = SEED,
    learning_rate: float = 0.0,
    momentum: float = MOMENTUM,
    weight_decay: float = WEIGHT_DECAY,
    steps: int | None = None,
) -> Training:
    """A fresh model (initialised from ``seed``) with the cell's method and optimizer.

    Args:
        cell: model, method and the switches of the step.
        data: on the device, in the cell's dtype.
        registry: of the revision that is stepped.
        seed: of the model.
        learning_rate: of the optimizer.
        momentum: of SGD, as is the next, where the cell's spelling of it has none.
        weight_decay: other optimizers have their own.
        steps: in the training that the method is told of; one cycle of the method's if it is timed.

    Raises:
        RequestError: a name or value that the registry refuses.
        Unsupported: as in :func:`require_supported` and :func:`refuse_data`; an optimizer that
            cannot work with the rest.
    """
    method = registry.build_method(cell.spec)
    require_supported(cell, method, data.input_shape)
    on = switches(cell.variant)
    device = torch.device(cell.device)
    torch.manual_seed(seed)
    network = registry.build_model(cell.model, data.input_shape, data.num_classes)
    refuse_data(cell, network, data)
    network = network.to(
        device, parameter_dtype(cell.dtype), memory_format=memory_format(cell.variant)
    )
    of_sgd: dict[str, Any] = {"momentum": momentum, "weight_decay": weight_decay}
    optimizer, convention = _build_optimizer(
        cell, network.parameters(), registry, learning_rate, of_sgd
    )
    forward = network
    if cell.compiled:
        forward = torch.compile(network)
    elif REDUCE_OVERHEAD in on:
        forward = torch.compile(network, mode=REDUCE_OVERHEAD)
    scaler = torch.amp.GradScaler(device.type) if cell.dtype == SCALED else None
    if hasattr(method, "begin"):  # an older revision's has no state
        method.begin(dict(network.named_parameters()), steps or method.cycle)
    cast = autocast(cell.dtype, device)
    return Training(network, forward, optimizer, method, cast, scaler, convention)


def _build_optimizer(
    cell: StepFields,
    params: Iterable[Tensor],
    registry: StepRegistry,
    learning_rate: float,
    of_sgd: dict[str, Any],
) -> tuple[torch.optim.Optimizer, Convention]:
    """The cell's optimizer of ``params``, and its convention.

    Raises:
        RequestError: as in :func:`build_training`.
        Unsupported: as in :func:`build_training`.
    """
    on = switches(cell.variant)
    if cell.optimizer == SGD:  # as it is here: an older revision's registry has no optimizers
        from ..optimizers.eager import SGD as EagerSGD

        fused = True if FUSED in on else None
        return EagerSGD(params, learning_rate, fused=fused, **of_sgd), Convention.PLAIN
    is_sgd = cell.optimizer.partition("(")[0] == SGD
    settings = dict(of_sgd) if is_sgd else {}
    if FUSED in on:
        settings["fused"] = True
    if CUDA_GRAPH in on and not is_sgd:
        settings["capturable"] = True
    optimizer = registry.build_optimizer(cell.optimizer, params, learning_rate, **settings)
    convention, _ = find_convention(
        lambda toy: registry.build_optimizer(cell.optimizer, toy, learning_rate)
    )
    alone = cell.dtype != SCALED and not on & {REDUCE_OVERHEAD, CUDA_GRAPH}
    if convention is not Convention.PLAIN and not alone:
        raise Unsupported(
            f"{cell.optimizer} evaluates the loss inside its step, which allows neither a gradient "
            "scaler nor replayed graphs"
        )
    return optimizer, convention


def build_step(cell: StepFields, registry: StepRegistry) -> TimedStep:
    """The cell's training on the first ``batch_size`` training examples.

    The learning rate is 0: the optimizer does all its work, and the parameters stay at their
    initial values, so that every method and every round times the same arithmetic.
    """
    data = load_data(cell, registry)
    training = build_training(cell, data, registry)
    inputs = data.train.inputs[: cell.batch_size].clone()
    inputs = inputs.contiguous(memory_format=memory_format(cell.variant))
    targets = data.train.targets[: cell.batch_size].clone()
    on = switches(cell.variant)
    eager = not (cell.compiled or on & {REDUCE_OVERHEAD, CUDA_GRAPH})
    step = TimedStep(training, (inputs, targets), eager)
    if CUDA_GRAPH in on:
        from .capture import capture

        passes = training.method.forward_passes
        step.run = capture(step.run, training.model, passes, inputs.device)
    return step
