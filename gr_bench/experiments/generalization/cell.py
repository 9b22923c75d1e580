"""The generalization cell, and the grid that spans such cells."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from gr_bench import registry
from gr_bench.experiments.cell import TimedCell, added_later
from gr_bench.experiments.grid import OptimizerGrid, known
from gr_bench.optimizers import SGD
from gr_bench.spec import parse

Role = Literal["candidate", "chosen", "run", "timing", "control"]
TrainerChoice = Literal["auto", "fleet", "loop"]


@dataclass(frozen=True, kw_only=True)
class GeneralizationCell(TimedCell):
    """One training run, or one method's step to be timed."""

    experiment: ClassVar[str] = "generalization"

    seed: int
    epochs: int
    learning_rate: float
    momentum: float | None
    """Of SGD, as is the weight decay; None with another optimizer, which names its own."""

    weight_decay: float | None
    schedule: str = "cosine"
    """Of the learning rate (:mod:`gr_bench.experiments.generalization.training.schedules`)."""

    augmentation: str = "none"
    label_noise: float = 0.0
    """Part of the training labels that are replaced by another class, drawn once for all runs."""

    sharpness: bool = False
    """True if the Hessian of the training loss is looked at when the run is over."""

    meters: tuple[str, ...] = added_later(())
    """Quantities from elsewhere that are read off the model when the run is over, as specs."""

    meter_source: str = added_later("")
    """Their sources (:attr:`Cell.method_source`)."""

    role: Role = "run"
    """``candidate``: trained to choose by, the test part is never read; ``chosen``: trained with
    the choice; ``run``: there is no choice; ``timing``: not trained, its step is timed;
    ``control``: the baseline's step, timed a second time."""

    baseline: str = added_later("sgd")
    """The method that the others are compared with: spelled in full, or where numbers are chosen
    its name, whatever was chosen for it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "meters", tuple(self.meters))  # JSON has lists alone

    @classmethod
    def from_0_1(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """The fields of a cell of gr-bench 0.1, which called the role ``timing`` ``timed``."""
        role = "timing" if fields["role"] == "timed" else fields["role"]
        return {**super().from_0_1(fields), "role": role}

    @property
    def selection_group(self) -> tuple[Any, ...]:
        """The common part of settings to choose from: method, model, data, but not the numbers."""
        own = ("learning_rate", "role", "sharpness", "meters", "meter_source")
        return (parse(self.spec).kind, *(pair for pair in self.workload if pair[0] not in own))

    @property
    def setting(self) -> tuple[str, float]:
        """The choice: the method with its numbers, and the learning rate."""
        return (self.spec, self.learning_rate)

    @property
    def workload(self) -> tuple[Any, ...]:
        """The common part of the cells of one comparison: all but the method and the seed."""
        return tuple(pair for pair in super().workload if pair[0] != "seed")

    @property
    def fleet_key(self) -> tuple[Any, ...]:
        """The common part of cells that can be one fleet: all but seed, rate and numbers.

        What a step does is decided by the host, so that the length of a method's cycle is common.
        """
        own = ("seed", "learning_rate")
        alike = tuple(pair for pair in super().workload if pair[0] not in own)
        return (parse(self.spec).frame, registry.cycle(self.spec), *alike)

    @property
    def timing_cell(self) -> GeneralizationCell:
        """The cell whose step takes as long: fields without influence on that are the same."""
        return replace(
            self,
            seed=0,
            epochs=1,
            learning_rate=0.0,
            schedule="constant",
            augmentation="none",
            label_noise=0.0,
            sharpness=False,
            meters=(),
            meter_source="",
            role="timing",
        )

    @property
    def block(self) -> tuple[Any, ...]:
        """The common part of the timing cells of one workload, the control included."""
        return tuple(pair for pair in self.workload if pair[0] != "role")

    @property
    def is_baseline(self) -> bool:
        """Its method is the baseline, and it is not the control."""
        name = self.spec.partition("(")[0]  # there are many cells, and parsing takes long
        return self.baseline in (self.spec, name) and not self.is_control

    @property
    def is_control(self) -> bool:
        """True of the baseline's step, timed a second time."""
        return self.role == "control"

    def __str__(self) -> str:
        if self.role in ("timing", "control"):
            return f"{super().__str__()} ({self.role})"
        noise = f" / label noise {self.label_noise:g}" if self.label_noise else ""
        role = "" if self.role == "run" else f" ({self.role})"
        how = f"lr {self.learning_rate:g} / {self.epochs} epochs / seed {self.seed}"
        return f"{super().__str__()}{noise} / {how}{role}"


FLEET_OPTIMIZERS = {SGD: {"momentum", "weight_decay"}, "adamw": {"betas", "eps", "weight_decay"}}
"""The optimizers that step many runs at once, and the parameters with which they do."""


def has_fleet(optimizer: str) -> bool:
    """True if runs with this optimizer can be trained together."""
    spec = parse(optimizer)
    takes = FLEET_OPTIMIZERS.get(spec.name)
    return takes is not None and spec.parameters.keys() <= takes


def of_sgd(grid: GeneralizationGrid, optimizer: str) -> dict[str, Any]:
    """Momentum and weight decay of a cell: the grid's, or those that SGD is spelled with; of other
    optimizers None.
    """
    spec = parse(optimizer)
    if spec.name != SGD:
        return {"momentum": None, "weight_decay": None}
    own = {"momentum": grid.momentum, "weight_decay": grid.weight_decay}
    return {key: spec.parameters.get(key, value) for key, value in own.items()}


Seeds = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]


class GeneralizationGrid(OptimizerGrid):
    """Trainings to be done."""

    seeds: Seeds = [0, 1, 2, 3, 4]
    select: bool = False
    """True to choose each method's numbers and the learning rate, from those listed, by the
    validation part, on ``selection_seeds``. Only what was chosen is then trained on ``seeds``."""

    baseline: str = "sgd"
    """The method that every other one is compared with; it must be one of ``methods``, unless it is
    SGD. Where numbers are chosen (``select``), it is a method's name, as ``sam``: with the numbers
    that are chosen for it."""

    selection_seeds: Seeds = [100, 101, 102]
    """Seeds to choose by; none of them may be among ``seeds``."""

    epochs: Annotated[int, Field(ge=1)]
    evaluate_every: Annotated[int, Field(ge=1)] = 1
    """Epochs from one evaluation on the training and the validation part to the next; the last
    epoch is always evaluated. An evaluation costs about as much as an epoch of SGD, and has no
    influence on the training."""

    equal_cost: bool = False
    """True if every method and the baseline are also compared at equal gradient evaluations: of the
    two, the one that takes fewer a step is trained for as many times the epochs. With SGD as the
    baseline, SGD is trained for longer; with SAM, SGD is, and SAM is for double backpropagation."""

    equal_time: bool = False
    """True if every method's step is timed beside the baseline's, and of each method and the
    baseline the faster one is also trained for as many times the epochs as the other's steps take
    longer, to the nearest tenth."""

    learning_rates: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)] = [0.1]
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Of ``sgd``, unless ``optimizers`` spells it otherwise, as is the weight decay."""

    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    schedules: Annotated[list[Literal["cosine", "constant", "step"]], Field(min_length=1)] = [
        "cosine"
    ]
    """Of the learning rate: down to zero along half a cosine; constant; to a tenth at half of the
    training and at three quarters."""

    augmentations: Annotated[list[Literal["none", "crop-flip"]], Field(min_length=1)] = ["none"]
    label_noise: Annotated[list[Annotated[float, Field(ge=0, lt=1)]], Field(min_length=1)] = [0.0]
    """Parts of the training labels to replace by another class; validation and test stay clean."""

    sharpness: bool = False
    """True to find the largest Hessian eigenvalue and the trace at the end of every run. It
    takes as long as some tens of epochs."""

    meters: list[Annotated[str, Field(min_length=1)]] = []
    """Quantities of one's own, as ``my_file.py:my_meter``, that are read off the model at the end
    of every run (:mod:`gr_bench.experiments.generalization.training.meters`)."""

    trainer: TrainerChoice = "auto"
    """True if runs that differ in seed, learning rate and the numbers of their method are trained
    together (the same results to rounding), one by one, or as is faster here."""

    checkpoint_seconds: Annotated[float, Field(ge=0)] = 30.0
    """A training keeps its state at the end of the first epoch that ends this long after the last
    time, and goes on from there after a kill: to the same result, on a CPU bit for bit."""

    @field_validator("meters")
    @classmethod
    def _known_meters(cls, texts: list[str]) -> list[str]:
        return known(texts, registry.METERS, given=2)

    @field_validator("baseline")
    @classmethod
    def _among_the_methods(cls, text: str, info: ValidationInfo) -> str:
        methods, select = info.data.get("methods", []), info.data.get("select")
        own = dict.fromkeys(parse(spec).name if select else spec for spec in methods)
        baseline = text if select else registry.spell_method(text)
        if own and baseline not in own and baseline != "sgd":
            raise ValueError(f"{baseline!r} is not among the methods: {', '.join(own)}")
        return baseline

    @model_validator(mode="after")
    def _seeds_apart(self) -> Self:
        both = sorted({*self.seeds} & {*self.selection_seeds})
        if self.select and both:
            raise ValueError(
                f"seed {both[0]} is among seeds and selection_seeds: what is chosen on a seed must "
                "not be judged on it"
            )
        return self
