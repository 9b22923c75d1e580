"""The generalization cell, and the grid that spans such cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from gr_bench import registry
from gr_bench.experiments.cell import TimedCell, added_later
from gr_bench.experiments.generalization.trials import (
    Decays,
    Methods,
    Rates,
    Setting,
    Space,
    draw,
    draw_seed,
    numbers,
)
from gr_bench.experiments.grid import OptimizerGrid, known
from gr_bench.optimizers import SGD
from gr_bench.spec import parse
from gr_bench.workloads.datasets import FIXED

SEEDS = ("seed", "split_seed")
"""The fields by which runs of one setting differ, and by which runs of two are paired."""

WEIGHT_DECAY = 1e-4
Role = Literal["candidate", "chosen", "run", "timing", "control"]
ScheduleName = Literal["cosine", "warmup-cosine", "constant", "step"]
TrainerChoice = Literal["auto", "fleet", "loop"]


@dataclass(frozen=True, kw_only=True)
class GeneralizationCell(TimedCell):
    """One training run, or one method's step to be timed."""

    experiment: ClassVar[str] = "generalization"

    seed: int
    epochs: int
    learning_rate: float
    momentum: float | None
    """Of SGD; None with another optimizer, which names its own."""

    weight_decay: float | None
    """Of SGD; of another optimizer None, unless it is drawn (``tuned``)."""

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
    """``candidate``: trained to choose by, the test part unread unless ``tuned``; ``chosen``:
    trained with the choice; ``run``: there is no choice; ``timing``: not trained, its step is
    timed; ``control``: the baseline's step, timed a second time."""

    baseline: str = added_later("sgd")
    """The method that the others are compared with: spelled in full, or where numbers are chosen
    its name, whatever was chosen for it."""

    tuned: bool = added_later(False)
    """True if its setting is one of the ``trials`` that every method has alike: the weight decay is
    then chosen, too, and of a candidate the test part is read at its end, for the tuning curve."""

    split_seed: int = added_later(0)
    """The split of the data: 0 is the data set's own, others are drawn anew
    (:meth:`gr_bench.workloads.datasets.Dataset.redrawn`)."""

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
        own = {"learning_rate", "role", "sharpness", "meters", "meter_source"}
        own |= {"weight_decay"} if self.tuned else set()
        return (parse(self.spec).kind, *(pair for pair in self.workload if pair[0] not in own))

    @property
    def setting(self) -> tuple[Any, ...]:
        """The choice: the method with its numbers, the learning rate and what else is chosen."""
        return (self.spec, self.learning_rate, *([self.weight_decay] if self.tuned else []))

    @property
    def reads_test_part(self) -> bool:
        """True if the test part is read at its end: not of candidates, but for trials."""
        return self.role != "candidate" or self.tuned

    @property
    def workload(self) -> tuple[Any, ...]:
        """The common part of the cells of one comparison: all but the method and the seeds."""
        return tuple(pair for pair in super().workload if pair[0] not in SEEDS)

    @property
    def fleet_key(self) -> tuple[Any, ...]:
        """The common part of cells that can be one fleet: all but seeds, rates and numbers.

        What a step does is decided by the host, so that the length of a method's cycle is common.
        """
        own = (*SEEDS, "learning_rate", "weight_decay")
        alike = tuple(pair for pair in super().workload if pair[0] not in own)
        return (parse(self.spec).frame, registry.cycle(self.spec), *alike)

    @property
    def timing_cell(self) -> GeneralizationCell:
        """The cell whose step takes as long: fields without influence on that are the same."""
        return replace(
            self,
            seed=0,
            split_seed=0,
            epochs=1,
            learning_rate=0.0,
            weight_decay=self._timed_decay,
            tuned=False,
            schedule="constant",
            augmentation="none",
            label_noise=0.0,
            sharpness=False,
            meters=(),
            meter_source="",
            role="timing",
        )

    @property
    def _timed_decay(self) -> float | None:
        """The weight decay that stands for all that are drawn."""
        if not self.tuned:
            return self.weight_decay
        return None if self.momentum is None else WEIGHT_DECAY

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
        decay = f"wd {self.weight_decay:g} / " if self.tuned and self.weight_decay else ""
        how = f"lr {self.learning_rate:g} / {decay}{self.epochs} epochs / seed {self.seed}"
        how += f" / split {self.split_seed}" if self.split_seed else ""
        return f"{super().__str__()}{noise} / {how}{role}"


def chosen_rates(role: str, tuned: bool) -> tuple[str, ...]:
    """The fields of a cell of that role that were chosen beside its method's numbers."""
    if role != "chosen":
        return ()
    return ("learning_rate", "weight_decay") if tuned else ("learning_rate",)


FLEET_OPTIMIZERS = {SGD: {"momentum", "weight_decay"}, "adamw": {"betas", "eps", "weight_decay"}}
"""The optimizers that step many runs at once, and the parameters with which they do."""


def has_fleet(optimizer: str) -> bool:
    """True if runs with this optimizer can be trained together."""
    spec = parse(optimizer)
    takes = FLEET_OPTIMIZERS.get(spec.name)
    return takes is not None and spec.parameters.keys() <= takes


def momentum(grid: GeneralizationGrid, optimizer: str) -> float | None:
    """The momentum of a cell: the grid's, or that which SGD is spelled with; of others None."""
    spec = parse(optimizer)
    found: float = spec.parameters.get("momentum", grid.momentum)
    return found if spec.name == SGD else None


def decays(grid: GeneralizationGrid, optimizer: str) -> Sequence[float | None] | str:
    """The weight decays of an optimizer's cells: the grid's, unless it is spelled with its own; of
    one that is not SGD None, unless the grid lists some and it takes them.
    """
    spec = parse(optimizer)
    own = grid.weight_decays
    if spec.name == SGD:
        if "weight_decay" in spec.parameters:
            return [spec.parameters["weight_decay"]]
        return [grid.weight_decay] if own is None else own
    takes = "weight_decay" in registry.OPTIMIZERS.signature(spec.name).parameters
    return own if own is not None and takes and "weight_decay" not in spec.parameters else [None]


def space(grid: GeneralizationGrid, kind: str, optimizer: str) -> Space:
    """All settings that the grid allows of a method."""
    rates = numbers(grid.learning_rates)
    return Space(
        tuple(spec for spec in grid.methods if parse(spec).kind == kind),
        tuple(rate for rate in rates if rate is not None),
        numbers(decays(grid, optimizer)),
    )


def settings(grid: GeneralizationGrid, fields: Mapping[str, Any]) -> list[Setting]:
    """The settings of a method on a workload: all that are listed, or the trials of it.

    Args:
        grid: that they are from.
        fields: of a cell, ``spec`` one of the grid's methods.
    """
    spec, optimizer = fields["spec"], fields["optimizer"]
    kind = parse(spec).kind
    own = space(grid, kind, optimizer)
    if grid.trials is None:
        return [setting for place, setting in own.listed() if own.specs[place] == spec]
    drawn = draw(own, grid.trials, draw_seed(kind, fields, grid.tuning_seed))
    return [setting for place, setting in drawn if own.specs[place] == spec]


Seeds = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]


class GeneralizationGrid(OptimizerGrid):
    """Trainings to be done."""

    methods: Methods
    seeds: Seeds = [0, 1, 2, 3, 4]
    select: bool = False
    """True to choose each method's numbers and the learning rate, from those listed, by the
    validation part, on ``selection_seeds``. Only what was chosen is then trained on ``seeds``."""

    trials: Annotated[int, Field(ge=1, le=1000)] | None = None
    """With ``select``, the settings that are tried of every method, alike for all: its numbers, the
    learning rate and the weight decay, drawn from lists, as ``rho=[0.1, 0.2]``, without repetition,
    and from ranges, as ``rho=log(0.01, 0.5)`` or ``uniform(0.8, 0.99)``
    (:mod:`gr_bench.experiments.generalization.trials`). Without it, all that are listed."""

    tuning_seed: Annotated[int, Field(ge=0)] = 0
    """Decides, beside the method and the workload, which settings are drawn."""

    splits: Annotated[int, Field(ge=0)] | Literal["by seed"] = 0
    """The split of the data into train, validation and test parts: ``by seed``, the split with the
    number of the seed; or the split of this number for all seeds, of which 0 is the data set's own
    (:meth:`gr_bench.workloads.datasets.Dataset.redrawn`). By seed, numbers are chosen on split 0:
    its validation part is every split's, and no sample of it is trained on or tested."""

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

    learning_rates: Rates = [0.1]
    """A list, or with ``trials`` a range: ``"log(0.01, 0.5)"``."""

    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Of ``sgd``, unless ``optimizers`` spells it otherwise, as is the weight decay."""

    weight_decay: Annotated[float, Field(ge=0)] = WEIGHT_DECAY
    weight_decays: Decays = None
    """A list, or with ``trials`` a range, in the place of ``weight_decay``; also of optimizers
    other than ``sgd`` that take one and are not spelled with it."""

    schedules: Annotated[list[ScheduleName], Field(min_length=1)] = ["cosine"]
    """Of the learning rate: down to zero along half a cosine; the same after a rise from zero on
    the first tenth of the steps; constant; to a tenth at half of the training and at three
    quarters."""

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
    def _parts_that_are_drawn(self) -> Self:
        fixed = [text for text in self.datasets if parse(text).name in FIXED]
        if self.splits and fixed:
            raise ValueError(f"the parts of dataset {fixed[0]!r} are fixed: write splits = 0")
        return self

    @model_validator(mode="after")
    def _seeds_apart(self) -> Self:
        both = sorted({*self.seeds} & {*self.selection_seeds})
        if self.select and both:
            raise ValueError(
                f"seed {both[0]} is in both seeds and selection_seeds: a setting must not be "
                "judged on the seed that it was chosen on"
            )
        return self

    @model_validator(mode="after")
    def _trials_to_choose_from(self) -> Self:
        if self.trials is None:
            rates = (self.learning_rates, self.weight_decays)
            drawn = [text for text in rates if isinstance(text, str)]
            drawn += [spec for spec in self.methods if parse(spec).ranges]
            if drawn:
                raise ValueError(
                    f"{drawn[0]!r} has a range: give the number of settings to draw from it, "
                    "such as trials = 16, with select = true; or list values"
                )
            if self.select and self.weight_decays is not None:
                raise ValueError(
                    "weight_decays are chosen by trials: add trials = 16, or fix one with "
                    f"weight_decay = {WEIGHT_DECAY:g}"
                )
            return self
        if not self.select:
            raise ValueError("trials require a selection: add select = true")
        for kind in dict.fromkeys(parse(spec).kind for spec in self.methods):
            for optimizer in self.optimizers:
                size = space(self, kind, optimizer).size
                if size < self.trials:
                    raise ValueError(
                        f"{kind} has {size:.0f} of {self.trials} trials: list more learning_rates, "
                        'weight_decays or values, or give a range such as "log(0.01, 0.5)"'
                    )
        return self
