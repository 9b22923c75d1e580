"""A real Ray cluster of two nodes with a core each, on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from processes import is_worker

from gr_bench.runs.cluster.connection import SETTINGS

MEMORY = {"object_store_memory": 80 << 20}


class TwoNodes:
    """The cluster; its head has no core, and computes nothing."""

    def __init__(self) -> None:
        os.environ.update(SETTINGS)
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "include_dashboard": False, **MEMORY}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self.address: str = self._cluster.address
        self._count = 0
        self.nodes: list[Any] = []
        self.add()
        self.add()

    def add(self) -> None:
        self._count += 1
        name = f"number-{self._count}"
        self.nodes.append(self._cluster.add_node(num_cpus=1, node_name=name, **MEMORY))

    def workers(self, node: Any = None) -> list[psutil.Process]:
        """The processes that measure, on one node or on all."""
        found = []
        for one in self.nodes if node is None else [node]:
            raylet = psutil.Process(one.all_processes["raylet"][0].process.pid)
            found += [child for child in raylet.children(recursive=True) if is_worker(child)]
        return found

    def kill_one_that_measures(self) -> None:
        """Kill a node with all that runs on it, and have another one join."""
        node = next(node for node in self.nodes if self.workers(node))
        self.nodes.remove(node)
        self._cluster.remove_node(node, allow_graceful=False)
        self.add()

    def shutdown(self) -> None:
        self._cluster.shutdown()


@pytest.fixture(scope="session")
def two_nodes() -> Iterator[TwoNodes]:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'gr-bench[ray]'")
    cluster = TwoNodes()
    yield cluster
    cluster.shutdown()
