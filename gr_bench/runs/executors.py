"""The executors by their names, with what each needs beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from gr_bench.errors import RequestError, unknown
from gr_bench.runs.executor import Executor, LocalExecutor

EXECUTORS = ("local", "ray")


@contextmanager
def executors(
    name: str, devices: Sequence[str], address: str | None = None, gpu_share: float = 1.0
) -> Iterator[Callable[[Path], Executor]]:
    """A context with the function that makes an executor for a run's folder.

    Args:
        name: of :data:`EXECUTORS`.
        devices: where steps run, the most important one first.
        address: that of a Ray cluster.
        gpu_share: see :class:`~gr_bench.runs.cluster.executor.RayExecutor`.

    Raises:
        RequestError: as :func:`check_executor` does, or the cluster does not answer.
    """
    check_executor(name, address, gpu_share)
    if name == "local":
        yield LocalExecutor
        return
    from gr_bench.runs.cluster.connection import connected

    with connected(address):
        from gr_bench.runs.cluster.executor import RayExecutor

        yield partial(RayExecutor, devices=devices, gpu_share=gpu_share)


def check_executor(name: str, address: str | None = None, gpu_share: float = 1.0) -> None:
    """Refuse what no executor can be made of.

    Raises:
        RequestError: another name; an address without a cluster, or at which none answers; no
            part of a GPU.
    """
    if name not in EXECUTORS:
        raise unknown("executor", name, EXECUTORS)
    if not 0 < gpu_share <= 1:
        raise RequestError(
            f"the share of a GPU per training must be between 0 and 1, not {gpu_share:g}"
        )
    if name == "ray":
        from gr_bench.runs.cluster.connection import check_address

        check_address(address)
    elif address is not None or gpu_share != 1:
        raise RequestError("--address and --gpu-share are for clusters: add --executor ray")
