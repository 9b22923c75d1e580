"""Operations whose result the host has to wait for, noted as they happen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

WAITING = ("_local_scalar_dense", "is_nonzero", "nonzero", "equal", "masked_select")
"""Operators that return what only the device knows: ``.item()``, ``bool()``, a mask."""

INDEXING = ("index", "index_put", "index_put_")
"""Operators that wait if an index is a mask: they count what is true in it."""

COPYING = {torch.Tensor.cpu, torch.Tensor.numpy, torch.Tensor.tolist, torch.Tensor.__array__}
"""Methods that copy to the host; on the CPU they reach no operator."""


class HostReads:
    """Notes, inside its ``with``, every operation whose result the host has to wait for.

    On a CPU nothing waits; what would wait on a GPU is noted there, too.

    Args:
        where: called at each of them, for a place to note beside it.
    """

    def __init__(self, where: Callable[[], str | None] = lambda: None) -> None:
        self._where = where
        self._modes = (_Operators(self._note), _Methods(self._note))
        self.found: list[str] = []
        """Operations, in order."""

        self.places: list[str | None] = []
        """The places of these."""

    def __enter__(self) -> Self:
        for mode in self._modes:
            mode.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for mode in reversed(self._modes):
            mode.__exit__(kind, error, traceback)

    def _note(self, operation: str) -> None:
        self.found.append(operation)
        self.places.append(self._where())


class _Operators(TorchDispatchMode):
    def __init__(self, note: Callable[[str], None]) -> None:
        super().__init__()
        self._note = note

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func.overloadpacket.__name__
        if name in WAITING or (name in INDEXING and _has_mask(args[1])):
            self._note(str(func))
        return func(*args, **(kwargs or {}))


def _has_mask(indices: Sequence[Tensor | None]) -> bool:
    return any(i is not None and i.dtype in (torch.bool, torch.uint8) for i in indices)


class _Methods(TorchFunctionMode):
    def __init__(self, note: Callable[[str], None]) -> None:
        super().__init__()
        self._note = note

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        to_host = func is torch.Tensor.to and "cpu" in (*args[1:2], kwargs.get("device"))
        if to_host or func in COPYING:
            self._note(f"Tensor.{func.__name__}")
        return func(*args, **kwargs)
