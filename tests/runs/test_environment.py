from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gr_bench.errors import RequestError
from gr_bench.meters import hardware
from gr_bench.runs import environment

OLDER = {  # as it was written before processors were described
    "machine": {
        "system": "Linux",
        "architecture": "x86_64",
        "host": "5bce98f7",
        "cores": 2,
        "hardware_threads": 2,
        "memory_bytes": 25276510208,
    },
    "device": {"kind": "cpu", "name": "AMD EPYC", "cores": 2, "capability": "AVX512"},
    "python": "3.11.7",
    "packages": {"torch": "2.13.0+cpu", "numpy": "2.4.6"},
    "gr_bench": "0.1.0",
    "git": None,
    "torch_config": "PyTorch built with: ...",
    "governor": "powersave",
    "turbo_off": "0",
    "kernel": "6.18.44",
    "load_average": [1.5712890625, 1.548828125, 2.90185546875],
    "variables": {},
}
PROCESSOR = {
    "vendor": "AuthenticAMD",
    "name": "AMD EPYC",
    "family": 23,
    "model": 1,
    "stepping": "2",
    "microcode": "0x1000065",
    "caches": {"L1d": 32 << 10, "L2": 512 << 10, "L3": 36 << 20},
    "instruction_sets": ["avx", "avx2", "fma"],
    "hypervisor": "kvm",
}
NEWER = OLDER | {
    "machine": OLDER["machine"] | {"processor": PROCESSOR},
    "clock": {"mhz": 2001.5, "mhz_from": "cpufreq", "time_source": "tsc"},
    "steal_s": 10.0,
    "monotonic_s": 1000.0,
}


def other(*keys: str, value: Any) -> dict[str, Any]:
    """:data:`NEWER` with one entry of another value."""
    changed = copy.deepcopy(NEWER)
    inner: Any = changed
    for key in keys[:-1]:
        inner = inner[key]
    assert inner[keys[-1]] != value
    inner[keys[-1]] = value
    return changed


# --- describing


@pytest.fixture(scope="module")
def here() -> dict[str, Any]:
    return environment.describe("cpu")


def test_a_description_is_as_json_gives_it_back(here: dict[str, Any]) -> None:
    """Else a run that goes on would find its own environment changed."""
    again = json.loads(json.dumps(here, allow_nan=False))
    assert again == here
    assert environment.differences(again, environment.describe("cpu")) == []


def test_the_processor_is_the_one_that_the_system_has(here: dict[str, Any]) -> None:
    machine, found = here["machine"], hardware.processor()
    assert json.dumps(machine["processor"]["instruction_sets"]) == json.dumps(
        found.instruction_sets
    )
    for key in ("vendor", "family", "model", "stepping", "microcode", "caches", "hypervisor"):
        assert machine["processor"][key] == getattr(found, key)
    assert machine["processor"].keys() == PROCESSOR.keys()
    assert machine["hardware_threads"] >= machine["cores"] >= 1


@pytest.mark.parametrize("switch", ["0", "1", None])
def test_turbo_off_reads_as_intels_switch_does(switch: str | None, tmp_path: Path) -> None:
    """As in older descriptions, which had it word for word."""
    if switch:
        path = tmp_path / "sys/devices/system/cpu/intel_pstate/no_turbo"
        path.parent.mkdir(parents=True)
        path.write_text(switch + "\n")
    assert environment.describe("cpu", tmp_path)["turbo_off"] == switch


def test_descriptions_of_two_generations_of_one_name_differ(tmp_path: Path) -> None:
    found = []
    for family in (23, 25):
        path = tmp_path / str(family) / "proc/cpuinfo"
        path.parent.mkdir(parents=True)
        path.write_text(
            "processor : 0\nvendor_id : AuthenticAMD\nmodel name : AMD EPYC\n"
            f"cpu family : {family}\nflags : avx avx2{' avx512f' * (family > 23)}\n"
        )
        found.append(environment.describe("cpu", tmp_path / str(family)))
    assert environment.differences(*found) == [
        "machine processor family 23 -> 25",
        "machine processor instruction_sets +avx512f",
    ]


def test_pytorchs_build_is_in_the_description(here: dict[str, Any]) -> None:
    import torch

    assert here["torch_config"] == torch.__config__.show()
    assert here["packages"]["torch"] == torch.__version__


def test_the_build_is_not_left_to_the_wheels_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    """As PyPI's wheel with CUDA 13.0 has it: 2.13.0 by its metadata, 2.13.0+cu130 by itself."""
    import torch

    monkeypatch.setattr(torch, "__version__", "2.13.0+cu130")
    assert environment.describe("cpu")["packages"]["torch"] == "2.13.0+cu130"


def test_a_device_that_is_not_here_cannot_be_described() -> None:
    with pytest.raises(RequestError, match="device 'cuda:99' is not here"):
        environment.describe("cuda:99")


def test_only_a_description_needs_pytorch() -> None:
    code = "import sys; from gr_bench.runs import environment as e; e.steal()"
    ask = "print({'torch', 'numpy'} & set(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", f"{code}; {ask}"], capture_output=True, text=True)
    assert ended.stdout == "set()\n", ended.stderr


# --- telling apart


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("vendor", "GenuineIntel", "vendor AuthenticAMD -> GenuineIntel"),
        ("family", 25, "family 23 -> 25"),
        ("model", 49, "model 1 -> 49"),
        ("stepping", "1", "stepping 2 -> 1"),
        ("microcode", "0x1000066", "microcode 0x1000065 -> 0x1000066"),
        ("hypervisor", None, "hypervisor kvm -> None"),
        ("caches", PROCESSOR["caches"] | {"L3": 8 << 20}, "caches L3 37748736 -> 8388608"),
        ("instruction_sets", ["avx", "avx512f"], "instruction_sets -avx2 -fma +avx512f"),
    ],
)
def test_processors_of_one_name_are_told_apart(key: str, value: Any, text: str) -> None:
    changed = other("machine", "processor", key, value=value)
    assert environment.differences(NEWER, changed) == [f"machine processor {text}"]


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("load_average",), [0.0, 0.0, 0.0]),
        (("clock",), {"mhz": 800.0, "mhz_from": "cpuinfo", "time_source": "hpet"}),
        (("governor",), "performance"),
        (("turbo_off",), "1"),
        (("kernel",), "6.19"),
        (("steal_s",), 99.0),
        (("monotonic_s",), 5000.0),
    ],
)
def test_a_run_goes_on_though_passing_circumstances_changed(
    keys: tuple[str, ...], value: Any
) -> None:
    assert environment.differences(NEWER, other(*keys, value=value)) == []


@pytest.mark.parametrize(
    ("old", "new", "apart"),
    [
        ("0.1.0", "0.2.0", True),
        ("0.1.0", "0.1.1.dev3+g1a2b3c4", True),
        ("0.1.1.dev3+g1a2b3c4", "0.1.1.dev9+g5d6e7f8.d20260101", False),
        ("0.1.dev577+g489e756", "0.1.0", False),
        ("0.1.0", "0+unknown", False),
        ("0+unknown", "0.2.0", False),
    ],
)
def test_a_run_goes_on_with_a_later_commit_but_not_with_another_release(
    old: str, new: str, apart: bool
) -> None:
    a, b = NEWER | {"gr_bench": old}, NEWER | {"gr_bench": new}
    assert environment.differences(a, b) == [f"gr_bench {old} -> {new}"] * apart


def test_entries_that_only_one_side_has_are_no_differences() -> None:
    more = other("packages", value=OLDER["packages"] | {"scipy": "1.17"})
    for a, b in ((OLDER, NEWER), (NEWER, OLDER), (OLDER, more), (more, OLDER), ({}, NEWER)):
        assert environment.differences(a, b) == []


@pytest.mark.parametrize(
    ("keys", "value", "text"),
    [
        (("device", "capability"), "AVX2", "device capability AVX512 -> AVX2"),
        (("machine", "cores"), 4, "machine cores 2 -> 4"),
        (("packages", "torch"), None, "packages torch 2.13.0+cpu -> None"),
        (("python",), "3.12.1", "python 3.11.7 -> 3.12.1"),
    ],
)
def test_an_older_description_differs_in_what_it_has(
    keys: tuple[str, ...], value: Any, text: str
) -> None:
    assert environment.differences(OLDER, other(*keys, value=value)) == [text]


# --- stolen time


def moment(steal_s: float | None, monotonic_s: float) -> dict[str, Any]:
    return {"steal_s": steal_s, "monotonic_s": monotonic_s}


@pytest.mark.parametrize(
    ("start", "end", "share"),
    [
        (moment(10, 100), moment(30, 200), 20 / (4 * 100)),
        (moment(10, 100), moment(10, 200), 0),
        (moment(0, 100), moment(401, 200), 1),  # ticks are rounded
        (moment(None, 100), moment(None, 200), None),
        (moment(10, 100), {}, None),
        ({}, moment(10, 100), None),
        (moment(10, 100), moment(5, 200), None),  # started anew
        (moment(0, 100), moment(0, 50), None),
    ],
)
def test_the_stolen_share_is_of_all_processors_time(
    start: dict[str, Any], end: dict[str, Any], share: float | None
) -> None:
    assert environment.steal_share(start, end, threads=4) == share


def test_stolen_time_is_the_sum_over_hardware_threads() -> None:
    before, own, after = hardware.steal_s(), environment.steal(), hardware.steal_s()
    if before is None or after is None:
        assert own["steal_s"] is None
    else:
        assert sum(before.values()) <= own["steal_s"] <= sum(after.values())


# --- in words


def test_a_description_in_words() -> None:
    found = environment.in_words(NEWER, moment(12.0, 1100.0))
    assert found == {
        "Processor": "AMD EPYC, AuthenticAMD, family 23, model 1, stepping 2, microcode 0x1000065",
        "Caches": "L1d 32 KiB, L2 512 KiB, L3 36 MiB",
        "Instruction sets": "avx, avx2, fma",
        "Hypervisor": "kvm",
        "Cores": "2 (2 hardware threads)",
        "Memory": "23.5 GiB",
        "System": "Linux, x86_64",
        "Kernel": "6.18.44",
        "Governor": "powersave",
        "Clock": "2,002 MHz when started, turbo on, time from tsc",
        "Load when started": "1.57, 1.55, 2.90",
        "Stolen by the hypervisor": "1.0% of processor time",
    }


def test_an_older_description_in_words_leaves_out_what_it_does_not_know() -> None:
    found = environment.in_words(OLDER)
    assert found["Processor"] == "AMD EPYC"
    assert found["Clock"] == "turbo on"
    assert found.keys() == {
        *("Processor", "Cores", "Memory", "System", "Kernel", "Governor", "Clock"),
        "Load when started",
    }


def test_a_gpus_name_is_no_processors() -> None:
    gpu = OLDER | {"device": {"kind": "cuda:0", "name": "NVIDIA A100"}}
    assert "Processor" not in environment.in_words(gpu)
    gpu = other("device", value={"kind": "cuda:0", "name": "NVIDIA A100"})
    assert environment.in_words(gpu)["Processor"].startswith("AMD EPYC, ")


def test_a_gpu_is_told_with_its_driver_and_switches() -> None:
    gpu = {
        "kind": "cuda:1",
        "name": "NVIDIA A100",
        "memory_bytes": 40 << 30,
        "driver": "535.104.05",
        "power_limit_w": 300.0,
        "cuda": "12.4",
        "cudnn": None,
        "tf32_matmul": False,
        "tf32_cudnn": True,
    }
    assert environment.in_words(other("device", value=gpu))["GPU"] == (
        "NVIDIA A100 (cuda:1), 40 GiB, driver 535.104.05, CUDA 12.4, limited to 300 W, "
        "matrix products without TF32, convolutions with TF32"
    )
    assert "GPU" not in environment.in_words(NEWER)
    limited = other("device", value=gpu | {"power_limit_w": 250.0})
    assert environment.differences(other("device", value=gpu), limited) == [
        "device power_limit_w 300.0 -> 250.0"
    ]


def test_other_devices_are_described_and_compared() -> None:
    found = environment.describe("cpu", others=["cpu"])
    assert {"kind": "cpu", **found["other_devices"]["cpu"]} == found["device"]
    changed = copy.deepcopy(found)
    changed["other_devices"]["cpu"]["name"] = "another"
    (difference,) = environment.differences(found, changed)
    assert difference.startswith("other_devices cpu name ")


def test_variables_that_cuda_reads_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("CUDA_VISIBLE_DEVICES", "CUBLAS_WORKSPACE_CONFIG", "PYTORCH_CUDA_ALLOC_CONF")
    for name in (*names, "NVIDIA_TF32_OVERRIDE", "OTHER_CUDA_"):
        monkeypatch.setenv(name, "1")
    found = environment.describe("cpu")["variables"]
    assert {*names, "NVIDIA_TF32_OVERRIDE"} <= found.keys()
    assert "OTHER_CUDA_" not in found


def test_where_nothing_is_known_words_are_few() -> None:
    unknown = dict.fromkeys(PROCESSOR)
    bare = NEWER | {"machine": NEWER["machine"] | {"processor": unknown, "cores": None}}
    found = environment.in_words(bare | {"governor": None, "turbo_off": None, "clock": {}})
    assert found["Processor"] == "AMD EPYC"
    assert found["Cores"] == "unknown (2 hardware threads)"
    assert not {"Caches", "Instruction sets", "Hypervisor", "Clock", "Governor"} & found.keys()


def test_this_machine_can_be_put_in_words(here: dict[str, Any]) -> None:
    found = environment.in_words(here, environment.steal())
    assert all(found.values())
    assert {"Processor", "Cores", "Memory", "System", "Load when started"} <= found.keys()
