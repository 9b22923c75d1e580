"""The wall time of trainings on two nodes of a Ray cluster beside one, on this machine.

    python -m benchmarks.cluster OUT [--rounds 4]

The nodes have a core each; both clusters are there all the while, and their heads compute nothing.
A round runs the same trainings on either, in a random order, and takes the time from the start of
the first one to the end of the last: processes that start, checkpoints and records on their way
are in it, connecting is not. The gain is the ratio in the same round: its geometric mean over
rounds with the 95 % t-interval. Trainings must be the same bit for bit.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.answers import write_answers
from gr_bench import run, stats
from gr_bench.experiments.generalization.record import Training
from gr_bench.runs.cluster.connection import SETTINGS
from gr_bench.runs.executor import Event, Joined
from gr_bench.runs.merge import OWN
from gr_bench.runs.runner import Unwatched
from gr_bench.runs.store import read_journal

SUITE = {
    "title": "Trainings",
    "generalization": [
        {
            "methods": ["sgd", "sam"],
            "models": ["mlp(depth=4, width=128)"],
            "datasets": ["mnist1d"],
            "batch_sizes": [64],
            "epochs": 200,
            "seeds": [0, 1],
            "trainer": "loop",
        }
    ],
}
NODES = (1, 2)
STORE_BYTES = 80 << 20


class Clock(Unwatched):
    """The moments of the first and of the last event, but for nodes that join."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def event(self, event: Event) -> None:
        """See :class:`gr_bench.runs.runner.Watcher`."""
        if not isinstance(event, Joined):
            self.times.append(time.monotonic())


def start(nodes: int) -> Any:
    """A cluster of so many nodes."""
    os.environ.update(SETTINGS)
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": STORE_BYTES}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(nodes):
        cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
    return cluster


def wall_s(address: str, folder: Path) -> tuple[float, dict[str, dict[str, Any]]]:
    """Seconds that the trainings take on a cluster, and their results by cell."""
    clock = Clock()
    run(SUITE, folder, executor="ray", address=address, watcher=clock)
    results = {
        record.cell.id: {k: v for k, v in asdict(record).items() if k not in OWN}
        for record in read_journal(folder)
        if isinstance(record, Training)
    }
    return clock.times[-1] - clock.times[0], results


def main() -> None:
    """Measure, and write ``cluster.json``."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rounds", type=int, default=4)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    clusters = {nodes: start(nodes) for nodes in NODES}
    seconds: dict[int, list[float]] = {nodes: [] for nodes in NODES}
    found: list[dict[str, dict[str, Any]]] = []
    load = os.getloadavg()[0]
    chance = random.Random(0)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            for number in range(arguments.rounds):
                for nodes in chance.sample(NODES, len(NODES)):
                    folder = Path(scratch, f"{number}-{nodes}")
                    spent, results = wall_s(clusters[nodes].address, folder)
                    seconds[nodes].append(spent)
                    found.append(results)
    finally:
        for cluster in clusters.values():
            cluster.shutdown()
    one, two = (seconds[nodes] for nodes in NODES)
    gain = stats.ratio_interval(stats.log_ratios(one, two))
    answers = {
        "trainings": len(found[0]),
        "rounds": arguments.rounds,
        "seconds": {str(nodes): own for nodes, own in seconds.items()},
        "gain": gain.center,
        "gain_low": gain.low,
        "gain_high": gain.high,
        "same_results": all(results == found[0] for results in found),
        "load_before": load,
    }
    write_answers(arguments.out / "cluster.json", answers)
    print(
        f"{answers['trainings']} trainings: two nodes of one core are "
        f"{gain.center:.2f} [{gain.low:.2f}, {gain.high:.2f}] times as fast as one "
        f"({arguments.rounds} rounds; {'the same' if answers['same_results'] else 'OTHER'} results)"
    )


if __name__ == "__main__":
    main()
