"""The training steps that checks are made on."""

from __future__ import annotations

from dataclasses import dataclass

from gr_bench import registry
from gr_bench.meters.device import Device
from gr_bench.optimizers import SGD
from gr_bench.timing.step import TimedStep, build_step
from gr_bench.timing.variant import PLAIN


@dataclass(frozen=True)
class DoctorCell:
    """A step in float32, as the harness builds every step."""

    spec: str
    model: str
    dataset: str
    batch_size: int
    device: str
    is_baseline: bool = False
    is_control: bool = False
    dtype: str = "float32"
    compiled: bool = False
    variant: str = PLAIN
    optimizer: str = SGD

    @property
    def id(self) -> str:
        """Unique within a block: its role."""
        return "control" if self.is_control else f"{self.spec} on {self.model}"


def step_on(device: Device, spec: str, model: str, dataset: str, batch_size: int) -> TimedStep:
    """The step of a method on the first examples of a dataset."""
    cell = DoctorCell(spec, model, dataset, batch_size, str(device.torch_device))
    return build_step(cell, registry)
