"""Piecewise constant fits of a series: the best one for every number of pieces."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from gr_bench.comparison.history.noise import Floats


class Segmentation:
    """The best partitions of a series into pieces of one level each, by dynamic programming.

    C(i, j) = Σ_(i<=l<j) w_l·(y_l - ȳ)² is the cost of a piece, and B_m(j) = min_i B_(m-1)(i) +
    C(i, j) that of the best m + 1 pieces of the first j runs: exact, in O(n²) for a further piece.

    Args:
        values: (n,).
        weights: (n,), > 0.

    Source: Auger & Lawrence, Bull. Math. Biol. 51 (1989); Jackson et al., IEEE Signal Process.
    Lett. 12 (2005).
    """

    def __init__(self, values: ArrayLike, weights: ArrayLike) -> None:
        y, w = np.asarray(values, float), np.asarray(weights, float)
        y = y - np.average(y, weights=w)  # small numbers lose less in the differences below
        sums = [np.concatenate([[0.0], np.cumsum(w * y**power)]) for power in range(3)]
        total, first, second = (each[None, :] - each[:, None] for each in sums)
        with np.errstate(divide="ignore", invalid="ignore"):
            costs = np.maximum(0.0, second - first**2 / total)
        places = np.arange(y.size + 1)
        self._costs: Floats = np.where(places[:, None] < places, costs, np.inf)
        self._best: list[Floats] = [self._costs[0]]
        self._last: list[np.ndarray[tuple[int], np.dtype[np.intp]]] = []
        self._end = y.size

    def starts(self, changes: int) -> list[int]:
        """The first runs of the new levels in the best partition with so many changes.

        Args:
            changes: 0 to n - 1.
        """
        while len(self._best) <= changes:
            costs = self._best[-1][:, None] + self._costs
            self._last.append(costs.argmin(axis=0))
            self._best.append(costs.min(axis=0))
        end, found = self._end, []
        for last in reversed(self._last[:changes]):
            end = int(last[end])
            found.append(end)
        return found[::-1]

    def cost(self, changes: int) -> float:
        """Σ w_l·(y_l - ŷ_l)² of the best partition with so many changes."""
        self.starts(changes)
        return float(self._best[changes][self._end])
