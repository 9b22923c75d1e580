"""The contract that every method keeps."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import torch
from torch import Tensor

from .spelling import is_number, spell
from .step import LossFunction

Number = float | Tensor
"""A method's number: a float, or in a fleet one for every run, a float64 tensor (R,)."""


class Workspace:
    """Memory that a method keeps from step to step, so that a step allocates nothing for it."""

    def __init__(self) -> None:
        self._tensors: list[Tensor] = []

    def like(self, tensors: list[Tensor]) -> list[Tensor]:
        """Uninitialised tensors of the same shapes, dtypes, devices and strides as ``tensors``."""
        if len(self._tensors) != len(tensors) or not all(map(_alike, self._tensors, tensors)):
            self._tensors = []  # let the old memory go before the new is taken
            self._tensors = [torch.empty_like(t, requires_grad=False) for t in tensors]
        return self._tensors

    @property
    def nbytes(self) -> int:
        """Bytes held at present."""
        return sum(t.nbytes for t in self._tensors)

    def __reduce__(self) -> tuple[type[Workspace], tuple[()]]:
        return Workspace, ()  # a copied or pickled method starts with empty hands


def _alike(a: Tensor, b: Tensor) -> bool:
    return (
        a.shape == b.shape
        and a.dtype == b.dtype
        and a.device == b.device
        and a.stride() == b.stride()
    )


@dataclass(frozen=True)
class Method(ABC):
    """A rule that turns a loss into the gradient handed to the optimizer.

    A method is a value: immutable, compared by its parameters, printed as
    ``f-gr(gamma=0.1, epsilon=0.05)``. Subclasses are frozen dataclasses whose fields are the
    method's numbers; a subclass that checks them does so in ``__post_init__`` and calls
    ``super().__post_init__()``.
    """

    name: ClassVar[str]
    """Its name in tables, suites and on the command line; by default the class's own."""

    needs_second_derivatives: ClassVar[bool] = False
    """True if the loss must be differentiable twice by autograd."""

    stackable: ClassVar[bool] = False
    """True if the class keeps runs apart, whose numbers are vectors, one entry for each run, or
    numbers where all have the same (see :func:`gr_bench.methods.stack`). It is not inherited: a
    subclass says so itself."""

    passes: ClassVar[int]
    """Forward-backward passes of a step (3L matrix products each, for a net of L layers)."""

    penalty: ClassVar[str | None] = None
    """The name of the number that makes a step SGD's, of one pass, where it is 0. This and
    :attr:`passes` are literals in a built-in class's own body, to be read from its source."""

    period: ClassVar[str | None] = None
    """The name of the number k, where every k-th step takes all :attr:`passes` and the others one.
    A literal, as those are; in a fleet k is the same for all runs."""

    scalable: ClassVar[bool] = False
    """True if it knows of gradient scalers (see :class:`gr_bench.methods.ScaledLoss`)."""

    maskable: ClassVar[bool] = False
    """True if it leaves parameters where they are that the loss function has as ``fixed`` (see
    :class:`gr_bench.methods.Without`)."""

    clippable: ClassVar[bool] = False
    """True if its ascent grows with the gradient, and is kept to the length that the loss function
    has as ``longest`` (see :class:`gr_bench.methods.Clipped`)."""

    exact: ClassVar[bool] = True
    """False of an adapter of somebody else's code, whose parameters may come back off by a rounding
    (``gr-bench check`` says so); further off, it is refused as any other."""

    runs: ClassVar[int] = 1
    """Training runs in one step; more in a stacked method (:func:`gr_bench.methods.stack`)."""

    workspace: Workspace = field(
        default_factory=Workspace, init=False, repr=False, compare=False, kw_only=True
    )

    state: dict[str, Any] = field(
        default_factory=dict, init=False, repr=False, compare=False, kw_only=True
    )
    """The method's memory from step to step: tensors, lists of tensors and plain values, by name.
    It is empty when a training begins, kept by checkpoints bit for bit, and counted as the
    method's. An object with state belongs to one training; a copy of it begins another. In a fleet
    of R runs tensors that belong to parameters are stacked like these, (R, ...)."""

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if "name" not in vars(cls):
            cls.name = cls.__name__

    def __post_init__(self) -> None:
        for key, value in self.parameters.items():
            if is_number(value):
                object.__setattr__(self, key, float(value))  # 1, 1.0 and NumPy's print alike

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "state": {}}

    @abstractmethod
    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        """Put the method's direction d into ``p.grad`` of every parameter.

        Afterwards every ``p.grad`` holds d (``None`` where no pass gave a gradient), whatever it
        held before; every parameter holds its value from before, bit for bit; running statistics
        have moved once. An exception in ``loss_fn`` leaves parameters, buffers and :attr:`state` as
        they were (but for :class:`~gr_bench.methods.SGD`, which says why). Nothing in here waits
        for the device.

        On a model in ``DistributedDataParallel`` d is that of the mean loss over workers, the same
        on all of them (or the mean of their own d, see :class:`~gr_bench.methods.PerWorker`).

        Args:
            loss_fn: runs a forward pass and returns the scalar loss, not yet differentiated.
            params: the parameters; those with ``requires_grad=False`` are passed over.

        Returns:
            The detached loss at the unperturbed θ, NaN or infinite if it is so; of this worker. A
            method whose only pass is elsewhere has no other loss than the one there, and says so.
        """

    def begin(self, params: Mapping[str, Tensor], steps: int) -> None:  # noqa: B027
        """Be told of a training before its first step; most methods need not know.

        Args:
            params: its parameters by name, in the order in which :meth:`backward` gets them; in a
                fleet stacked, (R, ...).
            steps: in the whole training; where a step is timed, :attr:`cycle`.
        """

    def state_dict(self) -> dict[str, Any]:
        """All that a training goes on from, as tensors and plain data: :attr:`state`.

        A method that remembers anything elsewhere, as one made of others does, extends this and
        :meth:`load_state_dict`.
        """
        return dict(self.state)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Be where the method was that gave ``state``, whose tensors are on the right device."""
        self.state.clear()
        self.state.update(state)

    @property
    def cycle(self) -> int:
        """Steps after which the method does the same again: 1, unless a method says otherwise. A
        timed sample is a whole number of cycles.
        """
        return 1 if self.period is None else int(getattr(self, self.period))

    @property
    def gradient_evaluations(self) -> float:
        """Forward-backward passes of a step with these numbers: :attr:`passes`, or one; the mean
        over a :attr:`cycle` where steps differ.
        """
        if self.penalty is not None and is_zero(getattr(self, self.penalty)):
            return 1
        return 1 + (self.passes - 1) / self.cycle if self.period else self.passes

    @property
    def repeats(self) -> bool:
        """True if every step launches the same, with the same numbers, so that one may be recorded
        and replayed.
        """
        return self.cycle == 1

    def passes_in(self, done: int, steps: int) -> float:
        """Forward-backward passes in the first ``done`` steps of a training of ``steps``.

        Exact, for comparisons at equal cost: a method whose steps differ says so itself.
        """
        if self.period is None or self.gradient_evaluations == 1:
            return done * self.gradient_evaluations
        return done + (self.passes - 1) * math.ceil(done / self.cycle)

    @property
    def forward_passes(self) -> float:
        """Calls of the loss function in a step: one a gradient, unless a method says otherwise."""
        return self.gradient_evaluations

    @property
    def keeps_gradient(self) -> bool:
        """True if the gradient of one pass must outlive the next: with several, unless a method
        says otherwise. A graph that is replayed for each pass puts gradients where the last were.
        """
        return self.forward_passes > 1

    @property
    def parameters(self) -> dict[str, Any]:
        """The method's numbers by name, in order."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.init}

    def __str__(self) -> str:
        return spell(self.name, self.parameters)


def is_zero(value: Number) -> bool:
    """True if a number is 0 for all runs; a vector counts as not, so that nothing is waited for."""
    return not isinstance(value, Tensor) and value == 0


def require_at_least_zero(**values: Number) -> None:
    """Raise ValueError unless every value is a finite number >= 0."""
    for key, value in values.items():
        if not (is_number(value) and value >= 0):
            raise ValueError(f"{key} must be a finite number >= 0, not {value!r}")


def require_shares(**values: Number) -> None:
    """Raise ValueError unless every value is a number in [0, 1]."""
    for key, value in values.items():
        if not (is_number(value) and 0 <= value <= 1):
            raise ValueError(f"{key} must be in [0, 1], not {value!r}")


def require_positive(**values: Number) -> None:
    """Raise ValueError unless every value is a finite number > 0."""
    for key, value in values.items():
        if not (is_number(value) and value > 0):
            raise ValueError(f"{key} must be a finite number > 0, not {value!r}")
