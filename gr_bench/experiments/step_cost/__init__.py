"""What does a step cost? Time, peak memory and FLOPs, each against SGD's."""

from gr_bench.experiments.step_cost.experiment import StepCost

__all__ = ["StepCost"]
