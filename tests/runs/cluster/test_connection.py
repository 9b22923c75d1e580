"""Requests for a cluster that cannot be met: one line each, and nothing measured or made."""

from __future__ import annotations

import os
import socket
import sys

import pytest
from click.testing import CliRunner, Result

import gr_bench
from gr_bench.cli import app
from gr_bench.errors import RequestError


def ask(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["run", "quick", *arguments])


def test_without_ray_the_way_to_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RequestError, match=r"pip install 'gr-bench\[ray\]'"):
        gr_bench.run("quick", executor="ray")
    ended = ask("--executor", "ray", "--dry-run")
    assert isinstance(ended.exception, RequestError)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--executor", "slurm"], "no executor 'slurm': known: local, ray"),
        (["--executor", "rai"], "did you mean 'ray'"),
        (["--address", "10.0.0.1:6379"], "are for clusters: add --executor ray"),
        (["--executor", "ray", "--gpu-share", "0"], "between 0 and 1, not 0"),
        (["--executor", "ray", "--gpu-share", "2"], "between 0 and 1, not 2"),
    ],
)
def test_a_wrong_executor_is_said(arguments: list[str], why: str) -> None:
    ended = ask(*arguments)
    assert isinstance(ended.exception, RequestError)
    assert why in str(ended.exception)
    assert not os.path.exists("runs")


@pytest.mark.parametrize("address", ["here", "host:", ":6379", "host:x", "host:99999", "ray://h:1"])
def test_what_is_no_address_is_said(address: str) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'gr-bench[ray]'")
    with pytest.raises(RequestError, match="is not the address of a Ray cluster: use HOST:PORT"):
        gr_bench.run("quick", executor="ray", address=address)


def test_an_address_that_does_not_answer_is_said() -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'gr-bench[ray]'")
    with socket.socket() as taken:  # and nobody listens
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(RequestError, match=f"no Ray cluster responds at {address}"):
            gr_bench.run("quick", executor="ray", address=address)
