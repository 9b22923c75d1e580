"""The environment of a run: machine, software and settings that its results depend on."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from gr_bench.meters import hardware
from gr_bench.version import __version__, other_release

PACKAGES = ("numpy", "scipy", "pandas", "scikit-learn", "mnist1d")

COMPARED = ("machine", "device", "other_devices", "python", "packages", "gr_bench")
"""The entries that must be equal for two sessions to add to one run."""

SOFTWARE = ("python", "packages", "gr_bench")
"""Those of :data:`COMPARED` that are the same on all machines of one run."""

HARDWARE = {
    "machine": ("architecture", "cores", "hardware_threads", "processor"),
    "device": ("kind", "name", "capability", "multiprocessors"),
}
"""The entries that an update of software does not change."""

PROCESSOR = ("vendor", "name", "family", "model", "stepping", "caches")
"""The same of a processor; its microcode can be updated."""

_UNITS = {30: "GiB", 20: "MiB", 10: "KiB", 0: "B"}


VARIABLES = (
    *("OMP_", "MKL_", "KMP_", "OPENBLAS_", "GLIBC_", "MALLOC_", "TORCH", "LD_PRELOAD"),
    *("CUDA_", "CUBLAS_", "CUDNN_", "NVIDIA_", "NCCL_", "PYTORCH_"),
)
"""The beginnings of the names of environment variables that results may depend on."""


def describe(
    device: str, root: Path = hardware.ROOT, *, others: Sequence[str] = ()
) -> dict[str, Any]:
    """Hardware, software and settings that results depend on, as JSON would give them back.

    Of the entries, :data:`COMPARED` tell environments apart (see :func:`differences`), and the
    others may change from minute to minute or are notes: ``load_average``, ``clock`` (MHz and
    where that is read), ``governor``, ``turbo_off`` ("1", "0" or None: unknown) and
    :func:`steal`'s.

    The host's name is hashed: enough to tell two machines apart, and safe to publish.

    Args:
        device: where steps run; of several devices, the one that the results are about.
        root: the folder that the system's files about processors are below.
        others: further devices where steps run.

    Raises:
        RequestError: no such device here.
    """
    import torch  # of the functions here only this one needs it

    from gr_bench.meters.get_device import get_device

    processor, clock = hardware.processor(root), hardware.clock(root)
    sets = processor.instruction_sets
    known = asdict(processor) | {"instruction_sets": None if sets is None else list(sets)}
    cores, threads = known.pop("cores"), known.pop("hardware_threads")
    return {
        "machine": {
            "system": platform.system(),
            "architecture": platform.machine(),
            "host": hashlib.sha256(platform.node().encode()).hexdigest()[:8],
            "cores": cores or psutil.cpu_count(logical=False),
            "hardware_threads": threads or psutil.cpu_count(),
            "memory_bytes": psutil.virtual_memory().total,
            "processor": known,
        },
        "device": {"kind": device, **get_device(device).describe()},
        "other_devices": {name: get_device(name).describe() for name in others},
        "python": platform.python_version(),
        "packages": {
            "torch": str(torch.__version__),  # with its build, which a wheel's metadata may omit
            **{name: _version(name) for name in PACKAGES},
        },
        "gr_bench": __version__,
        "git": _git(),
        "torch_config": torch.__config__.show(),
        "governor": clock.governor,
        "turbo_off": {True: "0", False: "1", None: None}[clock.turbo],
        "clock": {
            "mhz": clock.mhz,
            "mhz_from": clock.mhz_from,
            "time_source": clock.time_source,
        },
        "kernel": platform.release(),
        "load_average": list(os.getloadavg()),
        **steal(root),
        "variables": {
            key: value for key, value in sorted(os.environ.items()) if key.startswith(VARIABLES)
        },
    }


def steal(root: Path = hardware.ROOT) -> dict[str, Any]:
    """The time that a hypervisor has taken from this machine so far; see :func:`steal_share`.

    Returns:
        ``steal_s``, processor-seconds since the system started, of all hardware threads together,
        or None where that is not counted; ``monotonic_s``, when that was, by
        :func:`time.monotonic`.
    """
    taken = hardware.steal_s(root)
    return {
        "steal_s": None if taken is None else sum(taken.values()),
        "monotonic_s": time.monotonic(),
    }


def steal_share(start: dict[str, Any], end: dict[str, Any], threads: int) -> float | None:
    """The part of the processors' time between two moments that a hypervisor took.

    Args:
        start: what :func:`steal` said at the first moment, or an environment described then.
        end: the same at the second.
        threads: hardware threads of the machine.

    Returns:
        (end.steal_s - start.steal_s) / (threads · (end.monotonic_s - start.monotonic_s)), between
        0 and 1; None where it is not known, or a counter has gone back since the system was
        started anew in between.
    """
    told = [m.get(key) for m in (start, end) for key in ("steal_s", "monotonic_s")]
    known = [float(x) for x in told if x is not None]
    if len(known) < len(told):
        return None
    steal_before, began, steal_after, ended = known
    taken_s, elapsed_s = steal_after - steal_before, ended - began
    if taken_s < 0 or elapsed_s <= 0:
        return None
    return min(1.0, taken_s / (threads * elapsed_s))


def differences(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """The entries of :data:`COMPARED` in which two environments differ, in words.

    An entry that only one of them has is none: a description written before there was such an
    entry says nothing of it. Of lists, what is gone and what is new is named. Of gr-bench, releases
    are told apart, not commits (:func:`~gr_bench.version.other_release`).

    Returns:
        ``machine processor family 23 -> 25``, ``packages torch 2.6 -> 2.7``, and so on.
    """
    return [text for key in COMPARED if key in a and key in b for text in _changes(key, a, b)]


def software_differences(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """The entries of :data:`SOFTWARE` in which two environments differ, as :func:`differences` has
    them.
    """
    return differences(*({key: own[key] for key in SOFTWARE} for own in (a, b)))


def hardware_differences(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """The entries of :data:`HARDWARE` in which two environments differ, as :func:`differences` has
    them. The host's name is none: in containers it is another one every time.
    """
    return differences(_hardware(a), _hardware(b))


def _hardware(environment: dict[str, Any]) -> dict[str, Any]:
    found = {
        key: {name: value for name, value in environment[key].items() if name in names}
        for key, names in HARDWARE.items()
    }
    processor = found["machine"].get("processor")
    if processor is not None:
        found["machine"]["processor"] = {
            name: value for name, value in processor.items() if name in PROCESSOR
        }
    return found


def _changes(key: str, a: dict[str, Any], b: dict[str, Any], prefix: str = "") -> Iterator[str]:
    name, old, new = prefix + key, a[key], b[key]
    if isinstance(old, dict) and isinstance(new, dict):
        for inner in sorted(old.keys() & new.keys()):
            yield from _changes(inner, old, new, name + " ")
    elif isinstance(old, list) and isinstance(new, list):
        changes = [f"-{x}" for x in old if x not in new] + [f"+{x}" for x in new if x not in old]
        if changes:
            yield " ".join([name, *changes])
    elif old != new and (key != "gr_bench" or other_release(old, new)):
        yield f"{name} {old} -> {new}"


def in_words(environment: dict[str, Any], at_end: dict[str, Any] | None = None) -> dict[str, str]:
    """The facts of an environment that a reader wants, by their titles.

    Args:
        environment: of :func:`describe`, now or by an earlier version.
        at_end: what :func:`steal` said at the end of the run, if it did.

    Returns:
        Only what is known: the processor's name with its generation, caches, instruction sets,
        hypervisor, cores, memory, system, kernel, governor, clock, load and stolen time.
    """
    machine = environment["machine"]
    processor = machine.get("processor") or {}
    name = processor.get("name")
    device = environment["device"]
    if device["kind"] == "cpu":  # all that there once was
        name = name or device["name"]
    generation = [
        f"{key} {processor[key]}"
        for key in ("family", "model", "stepping", "microcode")
        if processor.get(key) is not None
    ]
    vendor = processor.get("vendor")
    threads = machine["hardware_threads"]
    share = steal_share(environment, at_end or {}, threads or 1)
    facts = {
        "Processor": ", ".join(filter(None, [name, vendor, *generation])),
        "GPU": None if device["kind"] == "cpu" else ", ".join(_gpu(device)),
        "Caches": ", ".join(
            f"{key} {_size(size)}" for key, size in (processor.get("caches") or {}).items()
        ),
        "Instruction sets": ", ".join(processor.get("instruction_sets") or ()),
        "Hypervisor": processor.get("hypervisor"),
        "Cores": f"{machine['cores'] or 'unknown'} ({threads} hardware threads)",
        "Memory": _size(machine["memory_bytes"]),
        "System": f"{machine['system']}, {machine['architecture']}",
        "Kernel": environment.get("kernel"),
        "Governor": environment.get("governor"),
        "Clock": ", ".join(_clock(environment)),
        "Load when started": ", ".join(f"{x:.2f}" for x in environment["load_average"]),
        "Stolen by the hypervisor": None if share is None else f"{share:.1%} of processor time",
    }
    return {title: text for title, text in facts.items() if text}


def node_in_words(environment: Mapping[str, Any]) -> list[str]:
    """A node of a cluster in a few words: its device, its host's hash and its cores."""
    machine, device = environment["machine"], environment["device"]
    cores = f"{machine['cores'] or 'unknown'} cores"
    return [str(device.get("name")), f"host {machine['host']}", cores]


def _gpu(device: dict[str, Any]) -> Iterator[str]:
    """The known facts of it, in words."""
    yield f"{device['name']} ({device['kind']})"
    if (size := device.get("memory_bytes")) is not None:
        yield _size(size)
    for key, title in (("driver", "driver"), ("cuda", "CUDA"), ("cudnn", "cuDNN")):
        if device.get(key) is not None:
            yield f"{title} {device[key]}"
    if (limit := device.get("power_limit_w")) is not None:
        yield f"limited to {limit:g} W"
    for key, what in (("tf32_matmul", "matrix products"), ("tf32_cudnn", "convolutions")):
        if key in device:
            yield f"{what} {'with' if device[key] else 'without'} TF32"


def _clock(environment: dict[str, Any]) -> Iterator[str]:
    clock = environment.get("clock") or {}
    if clock.get("mhz"):
        yield f"{clock['mhz']:,.0f} MHz when started"
    if environment.get("turbo_off") is not None:
        yield "turbo off" if environment["turbo_off"] == "1" else "turbo on"
    if clock.get("time_source"):
        yield f"time from {clock['time_source']}"


def _size(nbytes: int) -> str:
    """``512 KiB``, ``8 MiB`` or ``23.5 GiB``."""
    shift, unit = next(
        (shift, unit) for shift, unit in _UNITS.items() if nbytes >> shift or not shift
    )
    return f"{round(nbytes / 2**shift, 1):g} {unit}"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git() -> dict[str, Any] | None:
    """Commit of gr-bench's own checkout, and whether it had changes; None when installed."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    try:
        commit, status = (
            subprocess.run(
                ["git", "-C", str(root), *arguments],
                capture_output=True,
                text=True,
                check=True,
                timeout=10,
            ).stdout.strip()
            for arguments in (["rev-parse", "HEAD"], ["status", "--porcelain"])
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "dirty": bool(status)}
