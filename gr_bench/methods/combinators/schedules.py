"""Schedules: a method in some steps of a training, or with a number that grows."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, ClassVar

from torch import Tensor

from ..base import Method, Number
from ..fleet import differentiate
from ..scaling import LossScale
from ..spelling import is_number
from ..step import LossFunction, Step
from .combinator import Combinator

MOST_STEPS = 100
"""The longest cycle in which a share is timed, of a method whose own cycle is 1."""


def _require_share(share: float) -> None:
    if not (is_number(share) and 0 <= share <= 1):
        raise ValueError(f"share must be a number in [0, 1], not {share!r}")


def require_positive_integer(**values: float) -> None:
    """Raise ValueError unless every value is a whole number >= 1."""
    for key, value in values.items():
        if not (is_number(value) and value >= 1 and value == int(value)):
            raise ValueError(f"{key} must be a whole number >= 1, not {value!r}")


@dataclass(frozen=True)
class _Counting(Combinator):
    """A combinator that counts steps: ``step``, those begun and done, and ``steps``, in all."""

    def begin(self, params: Mapping[str, Tensor], steps: int) -> None:
        """See :meth:`Method.begin`."""
        self.state.update(step=0, steps=steps)
        self.method.begin(params, self._steps_inside(steps))

    def _steps_inside(self, steps: int) -> int:
        """Steps of the method inside, in a training of so many."""
        return steps

    def _place(self) -> tuple[int, int]:
        """The present step, counted from 0, and the steps of the training.

        Raises:
            RuntimeError: nobody said how many there are.
        """
        if "steps" not in self.state:
            raise RuntimeError(
                f"{self.name} must know how long the training is: call begin(params, steps) first"
            )
        return self.state["step"] % self.state["steps"], self.state["steps"]

    def _count(self) -> None:
        self.state["step"] += 1


@dataclass(frozen=True)
class Schedule(_Counting):
    """A method in some of a training's steps, and SGD in the others: d = g there, of one pass.

    The method inside sees a training that consists of its own steps alone. A training that goes on
    for longer than :meth:`begin` was told begins its schedule anew.
    """

    @property
    @abstractmethod
    def part(self) -> Fraction:
        """The share of the steps that are the method's, in whole numbers of a :attr:`cycle`."""

    @abstractmethod
    def active(self, step: int, steps: int) -> bool:
        """True if the method makes the step of that number, from 0, in a training of ``steps``."""

    @abstractmethod
    def active_in(self, done: int, steps: int) -> int:
        """The number of the first ``done`` of ``steps`` steps that are the method's."""

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        """See :meth:`Method.backward`.

        Raises:
            RuntimeError: :meth:`begin` was not called.
        """
        if self.active(*self._place()):
            loss = self.method.backward(loss_fn, params)
        else:
            with Step(loss_fn, params) as step:
                loss = step.first()
                differentiate(self, loss, LossScale(loss_fn, loss).value)
                loss = loss.detach()
        self._count()
        return loss

    def _steps_inside(self, steps: int) -> int:
        return self.active_in(steps, steps)

    @property
    def cycle(self) -> int:
        """The least number of steps that holds both a :attr:`part` of whole steps and whole cycles
        of the method inside.
        """
        part = self.part
        inside = self.method.cycle
        return part.denominator * (inside // math.gcd(inside, part.numerator) if part else 1)

    @property
    def repeats(self) -> bool:
        """True if all steps are of one sort."""
        return self.cycle == 1 and (not self.part or self.method.repeats)

    @property
    def gradient_evaluations(self) -> float:
        """One in a step of SGD's; the mean."""
        return self._mean(self.method.gradient_evaluations)

    @property
    def forward_passes(self) -> float:
        """One in a step of SGD's; the mean."""
        return self._mean(self.method.forward_passes)

    @property
    def keeps_gradient(self) -> bool:
        """As the method inside, if it has any step."""
        return bool(self.part) and self.method.keeps_gradient

    def _mean(self, inside: float) -> float:
        return float(1 + self.part * (Fraction(inside) - 1))

    def passes_in(self, done: int, steps: int) -> float:
        """See :meth:`Method.passes_in`."""
        own = self.active_in(done, steps)
        return done - own + self.method.passes_in(own, self.active_in(steps, steps))


@dataclass(frozen=True)
class Warmup(Schedule):
    """SGD for the first share of the training, the method for the rest of it.

    d = g in the first round(share·T) of T steps, the method's d after that. The method's numbers
    do not grow: for that, see :class:`Ramp`.

    Args:
        method: from then on.
        share: part of the steps, in [0, 1], that are SGD's.
    """

    method: Method
    share: float = 0.1
    name: ClassVar[str] = "warmup"
    common: ClassVar[tuple[str, ...]] = ("share",)
    stackable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _require_share(self.share)
        super().__post_init__()

    @property
    def part(self) -> Fraction:
        """1 - share."""
        return 1 - Fraction(self.share).limit_denominator(MOST_STEPS)

    def active(self, step: int, steps: int) -> bool:
        """See :meth:`Schedule.active`."""
        return step >= round(self.share * steps)

    def active_in(self, done: int, steps: int) -> int:
        """See :meth:`Schedule.active_in`."""
        return max(0, done - round(self.share * steps))


@dataclass(frozen=True)
class Late(Schedule):
    """SGD first, the method for the last share of the training.

    d = the method's in the last round(share·T) of T steps, d = g before. Zhou et al. report that
    with SAM a few epochs at the end come close to SAM throughout.

    Args:
        method: at the end.
        share: part of the steps, in [0, 1], that are the method's.

    Source: Andriushchenko & Flammarion, ICML 2022 (arXiv 2206.06232); Zhou et al. 2024 (arXiv
    2410.10373).
    """

    method: Method
    share: float = 0.2
    name: ClassVar[str] = "late"
    common: ClassVar[tuple[str, ...]] = ("share",)
    stackable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _require_share(self.share)
        super().__post_init__()

    @property
    def part(self) -> Fraction:
        """The share."""
        return Fraction(self.share).limit_denominator(MOST_STEPS)

    def active(self, step: int, steps: int) -> bool:
        """See :meth:`Schedule.active`."""
        return step >= steps - round(self.share * steps)

    def active_in(self, done: int, steps: int) -> int:
        """See :meth:`Schedule.active_in`."""
        return max(0, done - (steps - round(self.share * steps)))


@dataclass(frozen=True)
class Early(Schedule):
    """The method for the first share of the training, SGD for the rest of it.

    d = the method's in the first round(share·T) of T steps, d = g after them: the reverse of
    :class:`Late`, which it is compared with.

    Args:
        method: at first.
        share: part of the steps, in [0, 1], that are the method's.

    Source: Zhou et al. 2024 (arXiv 2410.10373), who look at SAM in the early phase alone.
    """

    method: Method
    share: float = 0.2
    name: ClassVar[str] = "early"
    common: ClassVar[tuple[str, ...]] = ("share",)
    stackable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _require_share(self.share)
        super().__post_init__()

    @property
    def part(self) -> Fraction:
        """The share."""
        return Fraction(self.share).limit_denominator(MOST_STEPS)

    def active(self, step: int, steps: int) -> bool:
        """See :meth:`Schedule.active`."""
        return step < round(self.share * steps)

    def active_in(self, done: int, steps: int) -> int:
        """See :meth:`Schedule.active_in`."""
        return min(done, round(self.share * steps))


@dataclass(frozen=True)
class Every(Schedule):
    """The method in every k-th step, SGD in between: d = g in steps that k does not divide.

    Steps are counted from 0, so that the first one is the method's. It need not be told how long
    the training is.

    Args:
        method: in steps 0, k, 2k, ...
        k: whole number >= 1; with 1 it is the method.

    Source: Liu et al., CVPR 2022 (arXiv 2203.02714), who compare LookSAM with it as SAM-k.
    """

    method: Method
    k: float = 5
    name: ClassVar[str] = "every"
    common: ClassVar[tuple[str, ...]] = ("k",)
    stackable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_positive_integer(k=self.k)
        super().__post_init__()

    @property
    def part(self) -> Fraction:
        """1/k."""
        return Fraction(1, int(self.k))

    def _place(self) -> tuple[int, int]:
        return self.state.setdefault("step", 0), 0

    def active(self, step: int, steps: int) -> bool:
        """See :meth:`Schedule.active`."""
        return step % self.k == 0

    def active_in(self, done: int, steps: int) -> int:
        """See :meth:`Schedule.active_in`."""
        return -(-done // int(self.k))


@dataclass(frozen=True)
class Ramp(_Counting):
    """A method of which one number grows, or falls, linearly at the beginning of the training.

    In step t = 1, ..., T it is start + (value - start)·min(1, t/(share·T)), with the value that
    the method inside has, and d = the method's with that number. The first step is already away
    from the start, and the last one of the ramp is at the value.

    Args:
        method: with the number where it ends.
        parameter: the number's name, of the method inside or of one further inside.
        start: from where it grows; a value that the number may have.
        share: part of the steps, in (0, 1], after which it has arrived.

    Source: Zhao, Zhang & Hu, ICML 2024 (arXiv 2406.09723), who warm up the radius, the strength or
    both.
    """

    method: Method
    parameter: str = "gamma"
    start: Number = 0.0
    share: float = 1.0
    name: ClassVar[str] = "ramp"
    common: ClassVar[tuple[str, ...]] = ("share",)
    stackable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _require_share(self.share)
        if self.share == 0:
            raise ValueError("share must be > 0: a ramp takes time")
        super().__post_init__()
        owner = self._owner()
        value = owner.parameters[self.parameter]
        if not is_number(value):
            raise ValueError(f"parameter must name a number, and {self.parameter} is {value!r}")
        at_first: dict[str, Any] = {self.parameter: self.start}
        replace(owner, **at_first)  # raises if it is none that it may have
        if owner.penalty == self.parameter and value == 0:
            raise ValueError(f"{self.parameter} must be > 0 where the ramp ends")

    def _owner(self) -> Method:
        """The method inside that has the number.

        Raises:
            ValueError: none has.
        """
        method: Method = self.method
        while self.parameter not in method.parameters:
            if not isinstance(method, Combinator):
                raise ValueError(f"parameter {self.parameter!r} is none of {self.method}")
            method = method.method
        return method

    @contextmanager
    def _with_number(self) -> Iterator[None]:
        """The number of the present step in its place, inside the ``with``."""
        step, steps = self._place()
        grown = min(1.0, (step + 1) / (self.share * steps))
        owner = self._owner()
        value = getattr(owner, self.parameter)
        number = value if grown == 1 else self.start + (value - self.start) * grown
        object.__setattr__(owner, self.parameter, number)
        try:
            yield
        finally:
            object.__setattr__(owner, self.parameter, value)

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        """See :meth:`Method.backward`.

        Raises:
            RuntimeError: :meth:`begin` was not called.
        """
        with self._with_number():
            loss = self.method.backward(loss_fn, params)
        self._count()
        return loss

    @property
    def keeps_gradient(self) -> bool:
        """True with several passes, even if with the last number it is not needed."""
        return self.forward_passes > 1

    @property
    def repeats(self) -> bool:
        """False: the number is another one in every step."""
        return False
