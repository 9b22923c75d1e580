"""NVIDIA's management library (NVML), through nvidia-ml-py where that is installed.

What it does not tell is None and never an error: a MIG slice, a virtual GPU, a container without
the library and an older driver each answer less.
"""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def _library() -> Any:
    """The library, ready to be asked; None where there is none."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()  # once a process; it ends with the process
    except (pynvml.NVMLError, OSError):
        return None
    return pynvml


def _answer(function: str, *arguments: Any) -> Any:
    library = _library()
    if library is None:
        return None
    try:
        return getattr(library, function)(*arguments)
    except (library.NVMLError, AttributeError, OSError):
        return None


def driver_version() -> str | None:
    """The driver's version, as in ``535.104.05``."""
    found = _answer("nvmlSystemGetDriverVersion")
    return found.decode() if isinstance(found, bytes) else found


def ask(uuid: str, what: str, *constants: str) -> Any:
    """The answer about one GPU.

    Args:
        uuid: of the GPU, as PyTorch's device properties have it.
        what: the end of a function's name, ``ClockInfo`` for ``nvmlDeviceGetClockInfo``.
        constants: names of the library's constants to ask it with, as in ``NVML_CLOCK_SM``.

    Returns:
        The library's answer in its own units; None where it has none.
    """
    library = _library()
    handle = _answer("nvmlDeviceGetHandleByUUID", f"GPU-{uuid}")
    values = [getattr(library, name, None) for name in constants]
    if handle is None or None in values:
        return None
    return _answer(f"nvmlDeviceGet{what}", handle, *values)
