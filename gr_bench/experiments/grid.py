"""Grids: the part of a suite that spans cells, checked before anything is measured."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import replace
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from gr_bench import registry
from gr_bench.meters.device_name import check_device_name
from gr_bench.optimizers import SGD
from gr_bench.plugins.place import neighbourhood
from gr_bench.spec import expand
from gr_bench.workloads.datasets.content import beside, check_files, content_hash


def _distinct(kind: str, values: Iterable[Any]) -> list[Any]:
    own, seen = list(values), set()
    for value in own:
        key = value if isinstance(value, Hashable) else repr(value)
        if key in seen:
            raise ValueError(f"{kind} {value!r} is named twice")
        seen.add(key)
    return own


def _known_methods(texts: list[str]) -> list[str]:
    specs = [spec for text in texts for spec in expand(text)]
    return _distinct("method", [registry.spell_method(str(spec)) for spec in specs])


def known(texts: list[str], things: registry.Registry, *, given: int = 0) -> list[str]:
    """Every spec that ``texts`` stand for, as a grid keeps them, names and parameters checked.

    Args:
        texts: as a suite spells them; a list inside a spec stands for several.
        things: where they are registered.
        given: see :meth:`gr_bench.registry.Registry.resolve`.

    Raises:
        ValueError: an unknown name or parameter, or a spec that is named twice.
    """
    specs = [replace(spec, name=things.admit(spec.name)) for text in texts for spec in expand(text)]
    for spec in specs:
        things.resolve(spec, given=given)
        things.check_values(spec)
    return _distinct(things.kind, map(str, specs))


def _known_optimizers(texts: list[str]) -> list[str]:
    specs = [str(spec) for text in texts for spec in expand(text)]
    return _distinct("optimizer", map(registry.admit_optimizer, specs))


Name = Annotated[str, Field(min_length=1)]
Names = Annotated[list[Name], Field(min_length=1)]
Sizes = Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)]
Dtype = Literal["float32", "float64", "bfloat16", "bfloat16-mixed", "float16-mixed"]
Methods = Annotated[Names, AfterValidator(_known_methods)]
Optimizers = Annotated[Names, AfterValidator(_known_optimizers)]
DeviceName = Annotated[str, AfterValidator(check_device_name)]


class AnyGrid(BaseModel):
    """The base of every grid: no unknown key, and no value twice in a list.

    An experiment whose cells are not a model on a batch of a data set derives its grid from this;
    it needs ``methods`` and ``device``, which the command line sets.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="after")
    def _each_value_once(self) -> Self:
        for key, values in self:
            if isinstance(values, list):
                _distinct(f"{key}: value", values)
        return self


class Grid(AnyGrid):
    """The part of a suite that spans a grid of cells; each experiment adds its own settings."""

    methods: Methods
    models: Names
    datasets: Names
    batch_sizes: Sizes
    device: DeviceName = "cpu"
    dtypes: Annotated[list[Dtype], Field(min_length=1)] = ["float32"]
    """Of parameters and data. ``bfloat16-mixed`` and ``float16-mixed`` have both in float32, and
    training's forward passes under ``torch.autocast``; the latter with a gradient scaler."""

    threads: Sizes = [1]
    compiled: Annotated[list[bool], Field(min_length=1)] = [False]
    """True if the forward and backward passes run under ``torch.compile``."""

    @field_validator("models")
    @classmethod
    def _known_models(cls, texts: list[str]) -> list[str]:
        return known(texts, registry.MODELS, given=2)

    @field_validator("datasets")
    @classmethod
    def _known_datasets(cls, texts: list[str]) -> list[str]:
        near = neighbourhood()
        folder = None if near is None else near.folder
        texts = [beside(text, folder) for text in known(texts, registry.DATASETS)]
        for text in texts:
            check_files(text)
        return texts

    def points(self) -> Iterator[dict[str, Any]]:
        """The fields that every cell has, method varying fastest.

        Raises:
            RequestError: a file of a dataset cannot be read.
        """
        hashes = {dataset: content_hash(dataset) or "" for dataset in self.datasets}
        for model, dataset, batch_size, dtype, threads, compiled, method in itertools.product(
            self.models,
            self.datasets,
            self.batch_sizes,
            self.dtypes,
            self.threads,
            self.compiled,
            self.methods,
        ):
            yield {
                "spec": method,
                "model": model,
                "dataset": dataset,
                "batch_size": batch_size,
                "device": self.device,
                "dtype": dtype,
                "threads": threads,
                "compiled": compiled,
                "data": hashes[dataset],
                "method_source": registry.METHODS.source(method),
                "model_source": registry.MODELS.source(model),
                "dataset_source": registry.DATASETS.source(dataset),
            }


class OptimizerGrid(Grid):
    """A grid whose cells step with an optimizer behind the method."""

    optimizers: Optimizers = [SGD]
    """Optimizers that step with the methods' gradients. Methods are compared under the same one.
    ``sgd`` has momentum and weight decay of its own; every learning rate is the experiment's."""

    def points(self) -> Iterator[dict[str, Any]]:
        """See :meth:`Grid.points`; the optimizer varies slowest."""
        for optimizer in self.optimizers:
            own = {
                "optimizer": optimizer,
                "optimizer_source": registry.OPTIMIZERS.source(optimizer),
            }
            for point in super().points():
                yield {**point, **own}
