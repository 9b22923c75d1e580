"""The methods that theory speaks of on the diagonal linear network, by the family of their rule."""

from __future__ import annotations

FAMILIES = {
    "sgd": "two-point",
    "f-gr": "two-point",
    "b-gr": "two-point",
    "unnormalized-sam": "two-point",
    "sam": "normalised",
    "gnp": "normalised",
    "c-gr": "central",
    "db-gr": "double-backprop",
    "flooding": "flooded",
}
"""Settings of one family can be followed together
(:data:`gr_bench.experiments.implicit_bias.rules.RULES`)."""
