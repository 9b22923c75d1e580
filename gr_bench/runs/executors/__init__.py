"""Where units are measured: the local machine, or something that spreads them further."""

from gr_bench.runs.executors.base import Crashed, Event, Executor, Finished, Measured, Started
from gr_bench.runs.executors.local import LocalExecutor

__all__ = [
    "Crashed",
    "Event",
    "Executor",
    "Finished",
    "LocalExecutor",
    "Measured",
    "Started",
]
