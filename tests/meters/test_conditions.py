from __future__ import annotations

import json
import platform
import subprocess
import sys

import psutil
import pytest

from gr_bench.meters.conditions import allowed_processors, pin, preload

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
import json, os, threading
import psutil
from gr_bench.meters.conditions import allowed_processors, pin
threading.Thread(target=threading.Event().wait, daemon=True).start()
allowed = allowed_processors()
found = []
for wanted in (1, 1, len(allowed), 1):
    chosen = pin(wanted, allowed)
    threads = [sorted(os.sched_getaffinity(t.id)) for t in psutil.Process().threads()]
    found.append({"wanted": wanted, "chosen": chosen, "threads": threads})
print(json.dumps({"allowed": sorted(allowed), "found": found}))
"""


@pytest.mark.skipif(
    psutil.cpu_count(logical=False) == 1 or len(allowed_processors() or ()) < 2,
    reason="no processors to choose from",
)
def test_a_process_is_kept_on_as_many_cores_as_it_has_threads() -> None:
    """All its threads, and time after time: a process times blocks of one thread and of several."""
    command = [sys.executable, "-c", PIN]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    result = json.loads(ended.stdout)
    one, again, every, back = result["found"]
    assert len(one["chosen"]) == 1
    assert one["chosen"] == again["chosen"] == back["chosen"]
    assert every["chosen"] == result["allowed"]
    for found in result["found"]:
        assert set(found["chosen"]) <= set(result["allowed"])
        assert len(found["threads"]) > 1
        assert all(processors == found["chosen"] for processors in found["threads"])


def test_where_the_system_does_not_tell_nothing_is_pinned() -> None:
    assert pin(1, None) is None
