from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import psutil
import pytest

from gr_bench.meters.conditions import preload

PROBE = """
import json, sys
import psutil, torch
from gr_bench.meters.conditions import hold_still
in_force = [hold_still(sys.argv[1]) for _ in range(2)]
resident = psutil.Process().memory_info
for _ in range(2):  # the first one grows the heap
    block = torch.ones(16 << 20)
    alive = resident().rss
    del block
    kept = resident().rss
denormal = float(torch.tensor(1e-40) * 1)
print(json.dumps({"in_force": in_force, "returned": alive - kept, "denormal": denormal}))
"""
glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="not glibc")


def probe(allocator: str) -> dict:
    """What a fresh process sees; a block of 64 MiB was freed there."""
    ended = subprocess.run(
        [sys.executable, "-c", PROBE, allocator], capture_output=True, text=True, check=True
    )
    return json.loads(ended.stdout)


@glibc
def test_held_memory_stays_with_the_process() -> None:
    found = probe("held")
    assert found["in_force"] == [{"allocator": "held", "denormals_flushed": True}] * 2
    assert found["returned"] < 1 << 20
    assert found["denormal"] == 0


@glibc
def test_the_system_allocator_gives_large_blocks_back() -> None:
    found = probe("system")
    assert found["in_force"][0]["allocator"] == "system"
    assert found["returned"] > 60 << 20


def test_an_allocator_that_is_not_loaded_is_not_claimed() -> None:
    assert probe("jemalloc")["in_force"][0]["allocator"] == "system"


@pytest.mark.parametrize("allocator", ["held", "system"])
def test_glibcs_own_allocator_needs_no_library(allocator: str) -> None:
    assert preload(allocator) == {}


PIN = """
import json, os, sys, threading
import psutil
from gr_bench.meters.conditions import pin
threading.Thread(target=threading.Event().wait, daemon=True).start()
allowed = os.sched_getaffinity(0)
chosen = pin(int(sys.argv[1]))
threads = [os.sched_getaffinity(thread.id) for thread in psutil.Process().threads()]
print(json.dumps({
    "allowed": sorted(allowed), "chosen": chosen, "threads": [sorted(t) for t in threads]
}))
"""
linux = pytest.mark.skipif(sys.platform != "linux", reason="no affinity")


def pinned(threads: int) -> dict:
    """What a fresh process with threads of its own sees."""
    command = [sys.executable, "-c", PIN, str(threads)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(ended.stdout)


@linux
@pytest.mark.skipif(
    psutil.cpu_count(logical=False) == 1
    or len(getattr(os, "sched_getaffinity", lambda _: ())(0)) == 1,
    reason="one core",
)
def test_a_process_is_kept_on_a_core_with_all_its_threads() -> None:
    found = pinned(1)
    (processor,) = found["chosen"]
    assert processor in found["allowed"]
    assert len(found["threads"]) > 1
    assert all(processors == [processor] for processors in found["threads"])


@linux
def test_where_every_core_is_wanted_there_is_none_to_choose() -> None:
    found = pinned(len(os.sched_getaffinity(0)))
    assert found["chosen"] is None
    assert all(processors == found["allowed"] for processors in found["threads"])
