"""Bytes alive at once, by the births and deaths of storages: under fake tensors without any."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveStorages(TorchDispatchMode):
    """The storages that operators make inside a ``with``, counted for as long as they are alive.

    A view has its original's storage, and counts nothing. One from before does not count, and
    neither does its end: the peak is the rise above the level at the start, as a profiler reads it
    off the allocator. What a kernel takes for itself and gives back is not seen, and must be told.

    Args:
        block_bytes: sizes are rounded up to whole blocks of this.
        scratch_bytes: of an operator's call, given the operator and its arguments: what it has
            alive beside its results.

    Attributes:
        live_bytes: alive at present.
        peak_bytes: the most alive at once.
    """

    def __init__(
        self,
        block_bytes: int = 1,
        scratch_bytes: Callable[[Any, Sequence[Any]], int] = lambda func, args: 0,
    ) -> None:
        super().__init__()
        self.live_bytes = self.peak_bytes = 0
        self._block_bytes = block_bytes
        self._scratch_bytes = scratch_bytes
        self._seen: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        for tensor in _tensors((args, kwargs)):
            self._note(tensor, counts=False)
        out = func(*args, **(kwargs or {}))
        for tensor in _tensors(out):
            self._note(tensor, counts=True)
        scratch = self._scratch_bytes(func, args)
        self.peak_bytes = max(self.peak_bytes, self.live_bytes + scratch)
        return out

    def _note(self, tensor: Tensor, *, counts: bool) -> None:
        """Follow the tensor's storage until its end, unless it is followed already."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._seen:
            return
        size = blocks(storage.nbytes(), self._block_bytes) if counts else 0

        def gone(_: object) -> None:
            self._seen.pop(key, None)
            self.live_bytes -= size

        self._seen[key] = weakref.ref(storage, gone)
        self.live_bytes += size
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)


def blocks(nbytes: int, block_bytes: int) -> int:
    """``nbytes`` rounded up to whole blocks."""
    return -(-nbytes // block_bytes) * block_bytes


def _tensors(nested: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(nested) if isinstance(leaf, Tensor)]
