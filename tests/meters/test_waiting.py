"""Waiting for a processor, on the real one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from gr_bench.meters.get_device import get_device
from gr_bench.meters.waiting import WaitingAccount

linux = pytest.mark.skipif(
    not Path("/proc/thread-self/schedstat").exists(), reason="the system keeps no such account"
)


@linux
def test_waiting_for_a_processor_is_not_counted() -> None:
    """Beside a busy loop on the same processor. The reading's account begins before that inside of
    the work and ends after it, and so do those around the reading.
    """
    allowed, threads = os.sched_getaffinity(0), torch.get_num_threads()
    torch.set_num_threads(1)
    os.sched_setaffinity(0, {min(allowed)})
    loop = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=subprocess.PIPE
    )
    assert loop.stdout is not None
    loop.stdout.readline()  # it spins

    account = WaitingAccount()
    inside: list[tuple[float, float]] = []

    def work() -> None:
        inside.append(account.now())
        begin = time.thread_time()
        while time.thread_time() - begin < 0.3:
            pass
        inside.append(account.now())

    try:
        device = get_device("cpu")
        before = account.now()
        reading = device.time(work)
        after = account.now()
    finally:
        loop.kill()
        loop.wait()
        os.sched_setaffinity(0, allowed)
        torch.set_num_threads(threads)
    (first_s, first_waited_s), (last_s, last_waited_s) = inside
    assert 0 < last_waited_s - first_waited_s <= reading.waited_s <= after[1] - before[1]
    assert last_s - first_s <= reading.elapsed_s <= after[0] - before[0]
    assert reading.seconds == pytest.approx(reading.elapsed_s - reading.waited_s)


ASLEEP_S = 0.05


def test_sleeping_is_counted() -> None:
    """It is the step's own doing: no waiting, however much of that there is besides."""
    reading = get_device("cpu").time(lambda: time.sleep(ASLEEP_S))
    assert reading.waited_s <= reading.elapsed_s - ASLEEP_S


def test_without_an_account_the_waiting_is_0(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise FileNotFoundError

    monkeypatch.setattr(os, "open", refuse)
    account = WaitingAccount()
    begin, waited = account.now()
    assert waited == 0
    assert account.now()[0] >= begin


def test_with_several_threads_nobody_can_tell_the_waiting() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert get_device("cpu").time(lambda: None).waited_s == 0
    finally:
        torch.set_num_threads(threads)
