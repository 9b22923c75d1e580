"""Optimizers that step after a method: PyTorch's own, as training code takes them.

A class is imported, and PyTorch with it, when it is first asked for. Any other optimizer can be
named where it stands (:data:`gr_bench.registry.OPTIMIZERS`).
"""

from __future__ import annotations

SGD = "sgd"
"""The optimizer of a cell that names none: SGD with the grid's momentum and weight decay."""

BUILT_IN = {
    "sgd": ".eager:SGD",
    "adamw": ".eager:AdamW",
    "adam": ".eager:Adam",
    "muon": ".muon:Muon",
}
"""The built-in optimizers by name, each with its module in this package and its class."""
