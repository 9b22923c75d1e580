"""Learning-rate schedules: the factor on a run's learning rate, step by step."""

from __future__ import annotations

import math
from collections.abc import Callable


def constant(_: float) -> float:
    """1 throughout."""
    return 1.0


def cosine(part: float) -> float:
    """(1 + cos(π·t))/2: from 1 to 0 along half a cosine.

    Args:
        part: t in [0, 1), the part of the training's steps that are done.

    Source: Loshchilov & Hutter, ICLR 2017 (arXiv 1608.03983), without restarts.
    """
    return (1 + math.cos(math.pi * part)) / 2


def step(part: float) -> float:
    """1, then 0.1 from half of the training on, then 0.01 from three quarters on.

    Args:
        part: t in [0, 1), the part of the training's steps that are done.

    Source: He et al., CVPR 2016 (arXiv 1512.03385), section 4.2.
    """
    return 0.1 ** ((part >= 0.5) + (part >= 0.75))


WARMUP = 0.1
"""The part of a training's steps on which the rate of ``warmup-cosine`` rises."""


def warmup_cosine(part: float) -> float:
    """t/w for t < w, then (1 + cos(π·(t - w)/(1 - w)))/2: up from 0 along a line, to 1 at a tenth of
    the training (w = 0.1), then down to 0 along half a cosine.

    Args:
        part: t in [0, 1), the part of the training's steps that are done.

    Source: Goyal et al. 2017 (arXiv 1706.02677), section 2.2, for the rise; :func:`cosine`.
    """
    if part < WARMUP:
        return part / WARMUP
    return cosine((part - WARMUP) / (1 - WARMUP))


SCHEDULES: dict[str, Callable[[float], float]] = {
    "cosine": cosine,
    "warmup-cosine": warmup_cosine,
    "constant": constant,
    "step": step,
}
"""The schedules by name."""
