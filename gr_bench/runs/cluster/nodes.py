"""The nodes of a cluster: their names, what they have, and their environments."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gr_bench.errors import RequestError
from gr_bench.runs import environment


@dataclass(frozen=True)
class Node:
    """A node, with what it has in all, whether that is free or not."""

    id: str
    """Ray's, which is another one every time that the node joins."""

    name: str
    """A hash of the name that Ray calls it by and of its hardware: the same machine has the same
    one when it comes back, and none of its own name is in it."""

    processors: float
    gpus: float
    environment: dict[str, Any]


def describe_node(device: str, others: Sequence[str]) -> dict[str, Any]:
    """The environment of the node where this runs, as a task."""
    return environment.describe(device, others=others)


def alive() -> dict[str, dict[str, Any]]:
    """The nodes that are there and have something to compute with, as Ray describes them, by ids.

    Ray has nothing compute on a node without processors: one that was started so takes no part.
    """
    import ray

    return {
        node["NodeID"]: node
        for node in ray.nodes()
        if node["Alive"] and node["Resources"].get("CPU", 0) > 0
    }


def described(rays: Sequence[dict[str, Any]], devices: Sequence[str]) -> Iterator[Node]:
    """The nodes with their environments, but for those that are gone before they have told it.

    Args:
        rays: of :func:`alive`.
        devices: where steps run, the most important one first.

    Raises:
        RequestError: gr-bench is not there, or the software is not what it is here.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    if not rays:
        return
    here = environment.describe("cpu")
    asked = []
    for node in rays:
        own = [d for d in devices if d == "cpu" or node["Resources"].get("GPU", 0) > 0] or ["cpu"]
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        task = ray.remote(describe_node).options(num_cpus=0, scheduling_strategy=there)
        asked.append(task.remote(own[0], own[1:]))
    for node, answer in zip(rays, asked, strict=True):
        try:
            found = ray.get(answer)
        except ray.exceptions.RayTaskError as error:
            raise RequestError(
                f"node {node['NodeName']} of the cluster cannot measure ({in_a_line(error.cause)}):"
                " install the same gr-bench on every node"
            ) from error
        except ray.exceptions.RayError:
            continue
        if differ := environment.software_differences(here, found):
            raise RequestError(
                f"node {node['NodeName']} of the cluster has different software from this "
                f"machine ({'; '.join(differ)}): install the same on every node"
            )
        resources = node["Resources"]
        yield Node(
            id=node["NodeID"],
            name=_name(node["NodeName"], found),
            processors=resources["CPU"],
            gpus=resources.get("GPU", 0.0),
            environment=found,
        )


def in_a_line(error: BaseException) -> str:
    """An error of a task's, in a line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"


def _name(called: str, found: dict[str, Any]) -> str:
    own = json.dumps([called, found["machine"], found["device"]], sort_keys=True)
    return f"node-{hashlib.sha256(own.encode()).hexdigest()[:8]}"
