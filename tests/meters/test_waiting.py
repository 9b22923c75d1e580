"""Waiting for a processor, on the real one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from gr_bench.meters.device import get_device
from gr_bench.meters.waiting import WaitingAccount

linux = pytest.mark.skipif(
    not Path("/proc/thread-self/schedstat").exists(), reason="the system keeps no such account"
)


@linux
def test_waiting_for_a_processor_is_not_counted() -> None:
    """Beside a busy loop on the same processor, what is left is the time on it."""
    allowed, threads = os.sched_getaffinity(0), torch.get_num_threads()
    torch.set_num_threads(1)
    os.sched_setaffinity(0, {min(allowed)})
    loop = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=subprocess.PIPE
    )
    assert loop.stdout is not None
    loop.stdout.readline()  # it spins

    used_s: list[float] = []

    def work() -> None:
        begin = time.thread_time()
        while time.thread_time() - begin < 0.3:
            pass
        used_s.append(time.thread_time() - begin)

    try:
        reading = get_device("cpu").time(work)
    finally:
        loop.kill()
        loop.wait()
        os.sched_setaffinity(0, allowed)
        torch.set_num_threads(threads)
    assert reading.waited_s > 0
    assert abs(reading.seconds - used_s[0]) < 0.1 * reading.waited_s
    assert reading.elapsed_s == pytest.approx(reading.seconds + reading.waited_s)


def test_sleeping_is_counted() -> None:
    """It is the step's own doing."""
    assert get_device("cpu").time(lambda: time.sleep(0.05)).seconds >= 0.045


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
