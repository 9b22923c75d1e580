"""The connection to a Ray cluster, and the reasons for which there is none, in one line."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from importlib.util import find_spec
from typing import IO, Any

from gr_bench.errors import RequestError

ANSWER_S = 5.0
"""A cluster that does not take a connection in so long does not answer."""

RAYS_THREAD = "ray_listen_error_messages"
"""The thread of Ray's in which it prints what happens on nodes, to standard output."""

ADDRESS = "RAY_ADDRESS"
"""Ray's variable for the address, where none is given."""


def check_address(address: str | None) -> None:
    """Refuse an address at which no cluster can be.

    Ray itself would try for minutes, and then end the process.

    Raises:
        RequestError: Ray is not installed; it is no address; nothing answers there.
    """
    if find_spec("ray") is None:
        raise RequestError("--executor ray needs Ray: pip install 'gr-bench[ray]'")
    address = address or os.environ.get(ADDRESS)
    if address in (None, "", "auto", "local"):
        return
    host, colon, port = address.rpartition(":")
    if "://" in address or not (host and colon and port.isdecimal() and int(port) < 1 << 16):
        raise RequestError(
            f"{address!r} is not the address of a Ray cluster: use HOST:PORT, as printed by ray "
            "start --head, on a machine that has joined it"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()
    except OSError as error:
        raise RequestError(
            f"no Ray cluster responds at {address} ({error}): start one with ray start --head; "
            "without --address one is started here"
        ) from error


SETTINGS = {"RAY_worker_niceness": "0", "RAY_USAGE_STATS_ENABLED": "0"}
"""For Ray that is started here: processes that measure are as urgent as those of a local run, and
nothing is reported to Ray's makers."""


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """A context in which this process is connected to a cluster.

    Args:
        address: ``HOST:PORT``, ``auto`` for the one that runs here, or None for Ray's default:
            that of its variable, the one that runs here, or else one that is started here, and
            ended with the context.

    Raises:
        RequestError: as :func:`check_address` says, or Ray cannot connect.
    """
    check_address(address)
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    import ray

    with tempfile.TemporaryFile("w+") as words, redirect_stdout(_WithoutRays(sys.stdout, words)):
        try:
            ray.init(
                address=address,
                include_dashboard=False if address in (None, "local") else None,
                log_to_driver=False,
                logging_level="ERROR",
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            why = " ".join(str(error).split())
            raise RequestError(f"Ray cannot connect to {address or 'a cluster'}: {why}") from error
        try:
            yield
        finally:
            with suppress(Exception):
                ray.shutdown()


class _WithoutRays:
    """Standard output without what Ray prints there of nodes that end: events say that."""

    def __init__(self, output: IO[str], words: IO[str]) -> None:
        self._output = output
        self._words = words

    def write(self, text: str) -> int:
        """Write where it belongs."""
        is_rays = threading.current_thread().name == RAYS_THREAD
        return (self._words if is_rays else self._output).write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._output, name)
