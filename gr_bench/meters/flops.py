"""Floating-point operations of a step, counted from the operators it calls."""

from __future__ import annotations

from torch.utils.flop_counter import FlopCounterMode

from gr_bench.meters.device import Work


def count_flops(step: Work) -> int:
    """FLOPs of matrix products, convolutions and attention in ``step``, a product-sum as two.

    Elementwise work (normalisation, activations, the optimizer's update) is not counted.
    """
    with FlopCounterMode(display=False) as counter:
        step()
    return int(counter.get_total_flops())
