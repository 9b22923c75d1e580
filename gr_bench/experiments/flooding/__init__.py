"""Does flooding perform gradient regularization? Its steps near the level, pair by pair."""

from gr_bench.experiments.flooding.experiment import FloodingTraces

__all__ = ["FloodingTraces"]
