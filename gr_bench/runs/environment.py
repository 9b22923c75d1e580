"""What a run was measured on."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil
import torch

import gr_bench
from gr_bench.meters.device import get_device

PACKAGES = ("torch", "numpy", "scipy", "pandas", "scikit-learn", "mnist1d")

COMPARED = ("machine", "device", "python", "packages", "gr_bench")
"""The entries that must be equal for two sessions to add to one run."""


def describe(device: str) -> dict[str, Any]:
    """Hardware, software and settings that results depend on, as plain data.

    The host's name is hashed: enough to tell two machines apart, and safe to publish.
    """
    return {
        "machine": {
            "system": platform.system(),
            "architecture": platform.machine(),
            "host": hashlib.sha256(platform.node().encode()).hexdigest()[:8],
            "cores": psutil.cpu_count(logical=False),
            "hardware_threads": psutil.cpu_count(),
            "memory_bytes": psutil.virtual_memory().total,
        },
        "device": {"kind": device, **get_device(device).describe()},
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "gr_bench": gr_bench.__version__,
        "git": _git(),
        "torch_config": torch.__config__.show(),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "turbo_off": _read("/sys/devices/system/cpu/intel_pstate/no_turbo"),
        "kernel": platform.release(),
        "load_average": list(os.getloadavg()),
        "variables": {
            key: value
            for key, value in sorted(os.environ.items())
            if key.startswith(("OMP_", "MKL_", "KMP_", "OPENBLAS_", "GLIBC_", "MALLOC_", "TORCH"))
            or key == "LD_PRELOAD"
        },
    }


def differences(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """What of :data:`COMPARED` differs between two environments, in words."""
    found = []
    for key in COMPARED:
        if isinstance(a[key], dict):
            names = sorted({*a[key], *b[key]})
            pairs = [(f"{key} {name}", a[key].get(name), b[key].get(name)) for name in names]
        else:
            pairs = [(key, a[key], b[key])]
        found += [f"{name} {old} -> {new}" for name, old, new in pairs if old != new]
    return found


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git() -> dict[str, Any] | None:
    """Commit of gr-bench's own checkout, and whether it had changes; None when installed."""
    root = Path(gr_bench.__file__).parent.parent
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


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None
