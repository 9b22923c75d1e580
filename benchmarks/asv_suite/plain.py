"""asv: a step by asv's own clock and memory reading, for those who know them.

Methods are timed one after the other here, each in a process of its own: see ``step_cost`` for
ratios that a noisy machine does not move.
"""

from __future__ import annotations

from .blocks import METHODS, block


class Step:
    """One step of an MLP 4x512 on 128 digits, on one thread."""

    params = (METHODS,)
    param_names = ("method",)
    version = "1"

    def setup(self, method: str) -> None:
        import torch

        from gr_bench import registry
        from gr_bench.timing.step import build_step

        torch.set_num_threads(1)
        cell = block("mlp(depth=4, width=512)", 128)[METHODS.index(method)]
        self.step = build_step(cell, registry)
        self.step()

    def time_step(self, method: str) -> None:
        self.step()

    def peakmem_step(self, method: str) -> None:
        self.step()
