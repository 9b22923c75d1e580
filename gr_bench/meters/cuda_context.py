"""The CUDA context of this process: whether it can still be used, and what it keeps."""

from __future__ import annotations

import gc

import torch

_given_up = False


def give_up() -> None:
    """Let the context count as broken from now on."""
    global _given_up
    _given_up = True


def is_broken() -> bool:
    """True if every further call to the GPU would fail, whosever it is, or it was given up.

    After a failed assertion in a kernel or an access to memory that is not there, only another
    process can use the GPU; being out of memory breaks nothing. A process that has not used a GPU
    is left without a context.
    """
    if _given_up:
        return True
    if not torch.cuda.is_initialized():
        return False
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return True
    return False


def free_unused() -> None:
    """Free what nothing refers to any more: cycles, and on a GPU the memory kept for later."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
