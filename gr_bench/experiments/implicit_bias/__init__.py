"""Which solution does a method pick? The diagonal linear network, where theory gives the answer."""

from gr_bench.experiments.implicit_bias.experiment import ImplicitBias

__all__ = ["ImplicitBias"]
