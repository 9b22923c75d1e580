"""The datasets, by the name that a suite uses.

A dataset is a function from keyword parameters to a :class:`Dataset`, with the same result every
time. Adding one takes a file and a line in ``DATASETS``. Nothing is imported before it is asked
for: see :mod:`gr_bench.registry`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gr_bench.workloads.datasets.base import Dataset, Part
    from gr_bench.workloads.datasets.split import stratified_split

__all__ = ["DATASETS", "FIXED", "Dataset", "Part", "stratified_split"]

DATASETS = {
    "digits": ".digits:digits",
    "mnist1d": ".mnist1d:mnist1d",
    "cifar10": ".cifar:cifar10",
    "cifar100": ".cifar:cifar100",
    "random": ".random:random_images",
    "random-tokens": ".random:random_tokens",
    "csv": ".csv_file:csv",
    "npz": ".npz_file:npz",
    "images": ".image_folder:images",
    "text": ".text_file:text",
    "stdlib": ".stdlib:stdlib",
    "huggingface": ".huggingface:huggingface",
}
"""Each name with the dataset's module in this package and its function."""

FIXED = ("random", "random-tokens", "text")
"""Those whose parts are not drawn, so that there is one split of them."""

_MODULES = {"Dataset": ".base", "Part": ".base", "stratified_split": ".split"}

if not TYPE_CHECKING:  # a type checker would take every name for one of this module's

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value = getattr(import_module(_MODULES[name], __name__), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
