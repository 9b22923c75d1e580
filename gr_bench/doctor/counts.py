"""The meters of memory and FLOPs, on work whose counts are known."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from gr_bench.doctor.check import Check, Tell
from gr_bench.doctor.steps import step_on
from gr_bench.meters.counters import count_flops
from gr_bench.meters.device import Device

MIB = 1 << 20

LAYERS, WIDTH, BATCH = 3, 32, 8

PRODUCTS = {"sgd": 3 * LAYERS - 1, "f-gr": 6 * LAYERS - 2, "db-gr": 9 * LAYERS - 5}
"""Of a step on an MLP of equal layers, in units of one layer's forward product."""


def check_memory(device: Device, seconds: float, tell: Tell) -> Iterator[Check]:
    """Allocations in whole MiB, which a GPU's allocator does not round up."""
    kept = _take(device, 16)

    def one_by_one() -> None:
        first = _take(device, 64)
        second = _take(device, 32)
        del first
        third = _take(device, 16)
        del second, third

    known: list[tuple[Callable[[], object], int]] = [
        (lambda: kept.zero_(), 0),
        (lambda: _take(device, 64), 64),
        (one_by_one, 96),
    ]
    missed = 0
    for work, mib in known:
        if device.torch_device.type == "cuda":
            torch.cuda.empty_cache()  # a block of before would be taken whole, however large
        missed = max(missed, mib * MIB - device.peak_growth(work), key=abs)
    measured = {"largest_bytes": 96 * MIB, "missed_bytes": missed}
    if missed:
        yield Check(
            "memory",
            "fail",
            f"{abs(missed):,} bytes too {'few' if missed > 0 else 'many'} of a known allocation",
            measured,
            "do not trust peaks from this device; stop other allocations in this process",
        )
    else:
        yield Check("memory", "pass", f"{96 * MIB:,} bytes counted exactly", measured)


def _take(device: Device, mib: int) -> torch.Tensor:
    return torch.empty(mib * MIB, dtype=torch.uint8, device=device.torch_device)


def check_flops(device: Device, seconds: float, tell: Tell) -> Iterator[Check]:
    """Steps on an MLP of L equal layers: 3L - 1, 6L - 2 and 9L - 5 products of one layer."""
    product = 2 * BATCH * WIDTH**2
    model = f"mlp(depth={LAYERS}, width={WIDTH})"
    data = f"random(shape=({WIDTH},), num_classes={WIDTH}, samples={BATCH})"
    counted = {
        spec: (count_flops(step_on(device, spec, model, data, BATCH)) or 0) / product
        for spec in PRODUCTS
    }
    wrong = {spec: count for spec, count in counted.items() if count != PRODUCTS[spec]}
    if wrong:
        spec, count = next(iter(wrong.items()))
        yield Check(
            "flops",
            "fail",
            f"{spec} counted as {count:g} products of a layer, not {PRODUCTS[spec]}",
            {f"{spec} products": count for spec, count in counted.items()},
            "do not trust FLOPs or efficiency from this device",
        )
    else:
        words = ", ".join(f"{spec} {count:g}" for spec, count in counted.items())
        yield Check(
            "flops",
            "pass",
            f"{words} products of a layer",
            {f"{spec} products": count for spec, count in counted.items()},
        )
