"""Does it generalise? Train, validation and test results over seeds, and their gaps."""

from gr_bench.experiments.generalization.experiment import Generalization

__all__ = ["Generalization"]
