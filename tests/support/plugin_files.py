"""Files with plug-ins in them, as a user would write them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

Write = Callable[..., Path]

METHOD = '''
from dataclasses import dataclass
from typing import ClassVar
from gr_bench.methods import SGD, Method

@dataclass(frozen=True)
class Mine(SGD):
    """SGD under another name."""
    scale: float = 1.0
'''
