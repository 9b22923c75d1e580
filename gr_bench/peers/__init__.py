"""Other implementations of SAM as methods, so that they can be measured beside ours.

They keep none of the contract but the direction. A suite names them where they stand: as in
``gr_bench.peers:TextbookSAM``, or in their own package (:mod:`gr_bench.peers.wrapped`), as in
``pytorch_optimizer:SAM(rho=0.05)``. A class is imported, and PyTorch with it, when it is first
asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gr_bench.peers.textbook import TextbookSAM

__all__ = ["BASE_OPTIMIZER", "PEERS", "TextbookSAM"]

PEERS = {"TextbookSAM": ".textbook:TextbookSAM"}
"""Each class's name with its module in this package and the class."""

BASE_OPTIMIZER = frozenset({"base_optimizer", "optimizer"})
"""The names by which optimizers take the optimizer that they wrap."""

if not TYPE_CHECKING:  # a type checker would take every name for one of this module's

    def __getattr__(name: str) -> Any:
        if name not in PEERS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module, _, _ = PEERS[name].partition(":")
        globals()[name] = value = getattr(import_module(module, __name__), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
