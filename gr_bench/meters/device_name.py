"""Names of devices, which can be checked where no such device is."""

from __future__ import annotations

import re

from ..errors import RequestError


def check_device_name(name: str) -> str:
    """``name``, if it can be a device's, here or elsewhere.

    Raises:
        RequestError: it cannot.
    """
    if re.fullmatch(r"cpu|cuda(:[0-9]+)?", name):
        return name
    raise RequestError(f"no device {name!r}: use cpu, cuda or cuda:N")
