"""The state that everything in a process shares, kept from a plug-in that changes it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from .first_step import ContractBroken

SETTINGS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "torch.set_grad_enabled": (torch.is_grad_enabled, torch._C._set_grad_enabled),
    "torch.set_num_threads": (torch.get_num_threads, torch.set_num_threads),
    "torch.set_default_dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "torch.set_float32_matmul_precision": (
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
    ),
    "torch.use_deterministic_algorithms": (
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
    ),
}
"""By the function that changes it, what reads a setting and what puts it back."""

PATCHABLE: tuple[tuple[str, Any], ...] = (
    ("torch", torch),
    ("torch.autograd", torch.autograd),
    ("torch.nn.functional", torch.nn.functional),
    ("torch.Tensor", torch.Tensor),
    ("torch.nn.Module", torch.nn.Module),
    ("torch.optim.Optimizer", torch.optim.Optimizer),
)
"""Modules and classes whose functions are the same for all who step, and their names."""


FOLDER = os.path.dirname(torch.__file__)


def _is_patched(before: Any, now: Any) -> bool:
    """True of a function that is another by now, unless PyTorch itself put its own there, as its
    compiler does with ``torch.manual_seed`` when it is imported first.
    """
    code = getattr(now, "__code__", None)
    return now is not before and not (code and code.co_filename.startswith(FOLDER + os.sep))


class SharedState:
    """The settings and functions of PyTorch as they are now. Random numbers are nobody's."""

    def __init__(self) -> None:
        self._settings = {name: read() for name, (read, _) in SETTINGS.items()}
        self._functions = {
            name: {key: thing for key, thing in vars(owner).items() if callable(thing)}
            for name, owner in PATCHABLE
        }

    def restore(self) -> list[str]:
        """Put back what is another by now; return its names."""
        changed = []
        for name, (read, put) in SETTINGS.items():
            if read() != self._settings[name]:
                changed.append(name)
                put(self._settings[name])
        for name, owner in PATCHABLE:
            before, now = self._functions[name], vars(owner)
            for key in [key for key, thing in before.items() if _is_patched(thing, now.get(key))]:
                changed.append(f"{name}.{key}")
                setattr(owner, key, before[key])
        inherited = self._functions["torch.Tensor"]
        for key in [key for key in vars(torch.Tensor) if key not in inherited]:
            if callable(getattr(torch._C.TensorBase, key, None)) and callable(
                vars(torch.Tensor)[key]
            ):  # it hides PyTorch's own
                changed.append(f"torch.Tensor.{key}")
                delattr(torch.Tensor, key)
        return changed

    def check(self, whose: str) -> None:
        """Put back what is another by now.

        Raises:
            ContractBroken: something was.
        """
        if changed := self.restore():
            raise ContractBroken(
                f"{whose} changed {' and '.join(changed)}, which all in the process share: "
                "put it back before the step ends (it was put back for the others)"
            )


@contextmanager
def kept_shared_state(whose: str, *, is_ours: bool) -> Iterator[None]:
    """Have the shared state afterwards as it was before, unless only code of ours runs inside.

    Raises:
        ContractBroken: it was changed, whatever error that led to.
    """
    if is_ours:
        yield
        return
    state = SharedState()
    try:
        yield
    except Exception as error:
        try:
            state.check(whose)
        except ContractBroken as broken:
            raise broken from error
        raise
    state.check(whose)
