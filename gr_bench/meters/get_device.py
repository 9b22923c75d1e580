"""Devices by their names."""

from __future__ import annotations

from ..errors import RequestError
from .device import Device
from .device_name import check_device_name


def get_device(name: str) -> Device:
    """The device called ``cpu``, ``cuda`` or ``cuda:1``.

    Raises:
        RequestError: no such device here.
    """
    if check_device_name(name) == "cpu":
        from .cpu import CPU

        return CPU(name)
    import torch

    index = int(name.partition(":")[2] or 0)
    if torch.cuda.is_available() and index < torch.cuda.device_count():
        from .cuda import CUDA

        return CUDA(f"cuda:{index}")
    raise RequestError(f"device {name!r} is not here: this PyTorch sees no such GPU; use cpu")
