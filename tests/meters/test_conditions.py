from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from gr_bench.meters.conditions import (
    Conditions,
    allowed_processors,
    keep_off,
    other_processors,
    pin,
    preload,
    timed_processors,
)

PROBE = """
import json, sys
from dataclasses import asdict
import psutil, torch
from gr_bench.meters.conditions import hold_still
in_force = [asdict(hold_still(sys.argv[1])) for _ in range(2)]
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
    """The answers of a fresh process; a block of 64 MiB was freed there."""
    ended = subprocess.run(
        [sys.executable, "-c", PROBE, allocator], capture_output=True, text=True, check=True
    )
    return json.loads(ended.stdout)


@glibc
def test_held_memory_stays_with_the_process() -> None:
    found = probe("held")
    conditions = {
        "allocator": "held",
        "denormals_flushed": True,
        "processors": None,
        "gpu": None,
        "node": None,
    }
    assert found["in_force"] == [conditions] * 2
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


@pytest.mark.parametrize("processors", [None, (), (1, 3)])
def test_conditions_come_back_from_json_as_they_were(processors: tuple[int, ...] | None) -> None:
    conditions = Conditions("held", True, processors)
    text = json.dumps(asdict(conditions))
    assert TypeAdapter(Conditions).validate_python(json.loads(text)) == conditions


def test_conditions_of_an_older_journal_are_read() -> None:
    """A process that was not kept on processors of its own said nothing of them."""
    older = {"allocator": "system", "denormals_flushed": False}
    assert TypeAdapter(Conditions).validate_python(older) == Conditions("system", False, None)


# --- which processors


def topology(root: Path, cores: list[list[int]]) -> Path:
    """A machine with those hardware threads, each list the ones of a core."""
    for siblings in cores:
        for cpu in siblings:
            folder = root / f"sys/devices/system/cpu/cpu{cpu}/topology"
            folder.mkdir(parents=True)
            (folder / "thread_siblings_list").write_text(",".join(map(str, siblings)) + "\n")
    return root


FOUR_CORES = [[0, 4], [1, 5], [2, 6], [3, 7]]


@pytest.mark.parametrize(
    ("threads", "allowed", "chosen"),
    [
        (1, range(8), (3,)),
        (2, range(8), (2, 3)),
        (3, range(8), (1, 2, 3)),
        (4, range(8), (0, 1, 2, 3, 4, 5, 6, 7)),  # all cores, whoever serves the interrupts
        (9, range(8), (0, 1, 2, 3, 4, 5, 6, 7)),
        (1, [1, 5, 6], (6,)),
        (2, [1, 5, 6], (1, 5, 6)),
        (1, [5], (5,)),
    ],
)
def test_timed_processors_are_of_the_last_cores_each_of_another(
    tmp_path: Path, threads: int, allowed: list[int], chosen: tuple[int, ...]
) -> None:
    assert timed_processors(threads, allowed, topology(tmp_path, FOUR_CORES)) == chosen


@pytest.mark.parametrize(
    ("threads", "allowed", "near", "chosen"),
    [
        (1, range(8), {0, 1, 4, 5}, (1,)),
        (2, range(8), {0, 1, 4, 5}, (0, 1)),
        (3, range(8), {0, 1, 4, 5}, (0, 1, 3)),  # the node has two cores
        (1, [2, 3, 6, 7], {0, 1, 4, 5}, (3,)),  # none of the node is allowed
        (4, range(8), {0}, (0, 1, 2, 3, 4, 5, 6, 7)),
        (1, range(8), None, (3,)),
    ],
)
def test_timed_processors_are_near_the_gpu_as_far_as_there_are_some(
    tmp_path: Path,
    threads: int,
    allowed: list[int],
    near: set[int] | None,
    chosen: tuple[int, ...],
) -> None:
    root = topology(tmp_path, FOUR_CORES)
    assert timed_processors(threads, allowed, root, near=near) == chosen


@pytest.mark.parametrize(
    ("processors", "allowed", "others"),
    [
        ([3], range(8), {0, 1, 2, 4, 5, 6}),  # 7 is of the same core
        ([2, 3], range(8), {0, 1, 4, 5}),
        ([3], [3, 7], {7}),
        ([0, 1, 2, 3], range(8), {4, 5, 6, 7}),
        (range(8), range(8), set()),
        ([3], [0, 1], {0, 1}),
    ],
)
def test_other_processors_are_of_other_cores_where_there_are_any(
    tmp_path: Path, processors: list[int], allowed: list[int], others: set[int]
) -> None:
    assert other_processors(processors, allowed, topology(tmp_path, FOUR_CORES)) == others


@given(st.integers(1, 70), st.sets(st.integers(1000, 1063), min_size=1))
def test_timed_and_other_processors_are_allowed_and_apart(threads: int, allowed: set[int]) -> None:
    """Without a topology, every processor is a core."""
    timed = timed_processors(threads, allowed)
    assert timed is not None
    others = other_processors(timed, allowed)
    assert len(timed) == min(threads, len(allowed))
    assert {*timed} | others == allowed
    assert not {*timed} & others


PIN = """
import json, os, threading
import psutil
from gr_bench.meters.conditions import allowed_processors, pin, timed_processors
threading.Thread(target=threading.Event().wait, daemon=True).start()
allowed = allowed_processors()
found = []
for wanted in (1, 1, len(allowed), 1):
    chosen = pin(wanted, allowed)
    threads = [sorted(os.sched_getaffinity(t.id)) for t in psutil.Process().threads()]
    foretold = timed_processors(wanted, allowed)
    found.append({"chosen": chosen, "foretold": foretold, "threads": threads})
print(json.dumps({"allowed": sorted(allowed), "found": found}))
"""

several = pytest.mark.skipif(
    psutil.cpu_count(logical=False) == 1 or len(allowed_processors() or ()) < 2,
    reason="no processors to choose from",
)


@several
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
        assert found["chosen"] == found["foretold"]
        assert set(found["chosen"]) <= set(result["allowed"])
        assert len(found["threads"]) > 1
        assert all(processors == found["chosen"] for processors in found["threads"])


def test_where_the_system_does_not_tell_nothing_is_pinned() -> None:
    assert pin(1, None) is None
    assert timed_processors(1, None) is None


# --- a coordinator out of the way

KEEP_OFF = """
import json, os, subprocess, sys, threading
import psutil
from gr_bench.meters.conditions import allowed_processors, keep_off, timed_processors
ready, stop = threading.Event(), threading.Event()
allowed = sorted(allowed_processors())
timed = timed_processors(1, allowed)

def bound():
    os.sched_setaffinity(0, timed)  # this thread alone, by its own choice
    ready.set()
    stop.wait()

threading.Thread(target=bound, daemon=True).start()
ready.wait()

def threads():
    return {t.id: sorted(os.sched_getaffinity(t.id)) for t in psutil.Process().threads()}

before = threads()
CHILD = '''
import json, os, sys
from gr_bench.meters.conditions import pin
inherited = sorted(os.sched_getaffinity(0))
print(json.dumps([inherited, pin(1, json.loads(sys.argv[1]))]))
'''
command = [sys.executable, "-c", CHILD, json.dumps(allowed)]
try:
    with keep_off(timed):
        during = threads()
        threading.Thread(target=stop.wait, daemon=True).start()
        born = threads()
        child = json.loads(subprocess.check_output(command))
        raise KeyError
except KeyError:
    after = threads()
names = "allowed timed before during born child after".split()
print(json.dumps({name: globals()[name] for name in names}))
"""


@pytest.fixture(scope="module")
def kept_off() -> dict:
    """A process of two threads, then three, that kept off the processor to be timed on."""
    command = [sys.executable, "-c", KEEP_OFF]
    return json.loads(subprocess.check_output(command, text=True))


@several
def test_all_threads_keep_off_the_timed_processor(kept_off: dict) -> None:
    rest = sorted({*kept_off["allowed"]} - {*kept_off["timed"]})
    assert rest
    assert list(kept_off["during"].values()) == [rest] * 2
    assert list(kept_off["born"].values()) == [rest] * 3


@several
def test_every_thread_gets_back_what_it_might_use_even_after_an_exception(kept_off: dict) -> None:
    before, after = kept_off["before"], kept_off["after"]
    assert sorted(before.values()) == sorted([kept_off["allowed"], kept_off["timed"]])
    (born,) = after.keys() - before.keys()
    assert after == before | {born: kept_off["allowed"]}


@several
def test_a_process_started_meanwhile_can_be_pinned_to_the_timed_processor(kept_off: dict) -> None:
    inherited, pinned = kept_off["child"]
    assert not {*inherited} & {*kept_off["timed"]}
    assert pinned == kept_off["timed"]


@pytest.mark.skipif(not allowed_processors(), reason="the system does not tell")
def test_nothing_moves_where_no_processor_would_be_left() -> None:
    allowed = os.sched_getaffinity(0)
    for processors in (None, (), sorted(allowed)):
        with keep_off(processors):
            assert os.sched_getaffinity(0) == allowed
        assert os.sched_getaffinity(0) == allowed
