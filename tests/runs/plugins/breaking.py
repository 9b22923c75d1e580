"""Methods that break down on their way, and models that ``torch.compile`` breaks."""

from __future__ import annotations

import math
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from plugged import Counting
from torch import Tensor, nn

from gr_bench.methods import SGD, LossFunction


@dataclass(frozen=True)
class ExitsLater(Counting):
    """Ends its process in step ``at``, without a word."""

    name: ClassVar[str] = "exits-later"

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        if self.count() >= self.at:
            self.end()
        return super().backward(loss_fn, params)

    def end(self) -> None:
        """What it comes to in that step."""
        os._exit(7)


@dataclass(frozen=True)
class KilledLater(ExitsLater):
    """Is killed in step ``at``."""

    name: ClassVar[str] = "killed-later"

    def end(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class HangsLater(ExitsLater):
    """Does not come back from step ``at``."""

    name: ClassVar[str] = "hangs-later"

    def end(self) -> None:
        time.sleep(3600)


@dataclass(frozen=True)
class OutOfMemoryLater(ExitsLater):
    """Finds no memory in step ``at``, nor afterwards."""

    name: ClassVar[str] = "out-of-memory-later"

    def end(self) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")


@dataclass(frozen=True)
class OutOfMemoryCounted(SGD):
    """Finds no memory while its memory is being counted."""

    name: ClassVar[str] = "out-of-memory-counted"

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        if torch.autograd._profiler_enabled():
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().backward(loss_fn, params)


@dataclass(frozen=True)
class BreaksContext(ExitsLater):
    """Breaks a pretended CUDA context in step ``at``: no step of the process succeeds any more."""

    name: ClassVar[str] = "breaks-context"

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        return super().backward(loss_fn, params)

    def end(self) -> None:
        def fail() -> None:
            raise RuntimeError("CUDA error: device-side assert triggered")

        torch.cuda.is_initialized = lambda: True
        torch.cuda.synchronize = fail
        fail()


@dataclass(frozen=True)
class WaitsLater(ExitsLater):
    """Makes the file ``at work`` in step ``at``, and waits until there is one called ``go on``."""

    path: str = "."
    name: ClassVar[str] = "waits-later"

    def end(self) -> None:
        Path(self.path, "at work").touch()
        while not Path(self.path, "go on").exists():
            time.sleep(0.02)


class OffWhenCompiled(nn.Module):
    """A linear layer that is another one under ``torch.compile``."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(math.prod(input_shape), num_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        factor = 3.0 if torch.compiler.is_compiling() else 1.0
        logits: Tensor = factor * self.linear(inputs.flatten(1))
        return logits


class DiesWhenCompiled(OffWhenCompiled):
    """Takes its process down under ``torch.compile``."""

    def forward(self, inputs: Tensor) -> Tensor:
        if torch.compiler.is_compiling():
            os._exit(7)
        return super().forward(inputs)


class OffInChannelsLast(nn.Module):
    """A convolution that is another one where its channels are last in memory."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(input_shape[0], num_classes, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        last = self.convolution.weight.is_contiguous(memory_format=torch.channels_last)
        logits: Tensor = (3.0 if last else 1.0) * self.convolution(inputs).mean((2, 3))
        return logits


class Dropped(nn.Sequential):
    """A linear layer after dropout: with another mask, another loss."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        size = math.prod(input_shape)
        super().__init__(nn.Flatten(), nn.Dropout(0.5), nn.Linear(size, num_classes))


@dataclass(frozen=True)
class Babbles(Counting):
    """Writes something into every pipe that its process has at step ``at``, and goes on after a
    second: whoever is at work when that is noticed is to blame.
    """

    name: ClassVar[str] = "babbles"

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        if self.count() == self.at:
            for number in range(3, 64):
                with suppress(OSError):
                    if stat.S_ISFIFO(os.fstat(number).st_mode):
                        os.write(number, b"\x1b[31m hello\n")
            time.sleep(1)
        return super().backward(loss_fn, params)


@dataclass(frozen=True)
class ChangesShared(Counting):
    """Changes in step ``at`` what all in the process share."""

    what: str = "gradients"
    name: ClassVar[str] = "changes-shared"

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        params = list(params)
        loss = super().backward(loss_fn, params)
        if self.count() >= self.at:
            CHANGES[self.what]()
        return loss


CHANGES = {
    "gradients": lambda: torch.set_grad_enabled(False),
    "threads": lambda: torch.set_num_threads(3),
    "dtype": lambda: torch.set_default_dtype(torch.float64),
    "patch": lambda: setattr(torch.autograd, "grad", None),
    "hidden": lambda: setattr(torch.Tensor, "add", lambda *_: None),
}


@dataclass(frozen=True)
class MovesLater(Counting):
    """Leaves a parameter changed in step ``at``."""

    name: ClassVar[str] = "moves-later"

    def backward(self, loss_fn: LossFunction, params: Iterable[Tensor]) -> Tensor:
        params = list(params)
        loss = super().backward(loss_fn, params)
        if self.count() >= self.at:
            with torch.no_grad():
                params[0].add_(0.5)
        return loss


@dataclass(frozen=True)
class LeavesChildren(ExitsLater):
    """Starts two processes, one in a session of its own, and forks one; their numbers go into files
    in ``path``; and ends.
    """

    path: str = "."
    name: ClassVar[str] = "leaves-children"

    def end(self) -> None:
        started = subprocess.Popen(["sleep", "3600"])
        gone_away = subprocess.Popen(["sleep", "3600"], start_new_session=True)
        forked = os.fork()
        if not forked:
            time.sleep(3600)
            os._exit(0)
        for child in (started.pid, gone_away.pid, forked):
            Path(self.path, f"child-{child}").touch()
        super().end()


@dataclass(frozen=True)
class Hoards(ExitsLater):
    """Takes a GiB and says so on standard error, half an hour before it goes on."""

    name: ClassVar[str] = "hoards"

    def end(self) -> None:
        print("\x1b[31ma GiB", file=sys.stderr, flush=True)
        hoard = torch.ones(1 << 28)
        time.sleep(1800)
        hoard.add_(1)
