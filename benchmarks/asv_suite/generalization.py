"""asv: how well small trainings with fixed seeds generalise.

Not to find which method is best, for which three seeds are too few: to notice that a change to the
code changed what is trained.
"""

from __future__ import annotations

from .blocks import METHODS, Key, Values, measured, number

SUITE = {
    "title": "Generalization, for asv",
    "generalization": [
        {
            "methods": list(METHODS),
            "models": ["mlp(depth=3, width=64)"],
            "datasets": ["mnist1d"],
            "batch_sizes": [64],
            "seeds": [0, 1, 2],
            "epochs": 10,
            "trainer": "loop",
        }
    ],
}


class Generalization:
    """Means over three seeds after ten epochs on MNIST-1D."""

    params = (METHODS,)
    param_names = ("method",)
    timeout = 900
    version = "1"

    def setup_cache(self) -> Values:
        table = measured(SUITE).generalization
        table["test_error"] = 1 - table["test_accuracy"]
        means = table.groupby("method")[["gap_loss", "test_error"]].mean()
        return {(method,): dict(row) for method, row in means.iterrows()}

    def track_generalization_gap(self, values: Values, *key: Key) -> float:
        return number(values, key, "gap_loss")

    def track_test_error(self, values: Values, *key: Key) -> float:
        return number(values, key, "test_error")

    track_generalization_gap.unit = "nats"
    track_test_error.unit = "fraction"
