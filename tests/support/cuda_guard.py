"""The library of the pretended CUDA devices, compiled from guard.cpp once for every PyTorch."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCE = Path(__file__).with_name("guard.cpp")


def compiler() -> str | None:
    """The C++ compiler here: ``$CXX`` if it is set, else the first of the usual names."""
    names = filter(None, (os.environ.get("CXX"), "c++", "g++", "clang++"))
    return next((path for name in names if (path := shutil.which(name))), None)


def library() -> Path:
    """The compiled guard; the first call takes some ten seconds.

    Raises:
        RuntimeError: no compiler, or it refuses; with what it said.
    """
    found = compiler()
    if found is None:
        raise RuntimeError("no C++ compiler here")
    spec = importlib.util.find_spec("torch")  # not imported: the guard must come before it
    assert spec is not None
    assert spec.origin is not None
    root = Path(spec.origin).parent
    built_from = (SOURCE.read_bytes(), (root / "version.py").read_bytes(), str(root).encode())
    key = hashlib.sha256(b"\0".join(built_from)).hexdigest()[:16]
    built = Path(tempfile.gettempdir(), f"gr-bench-tests-guard-{os.getuid()}", f"{key}.so")
    if built.exists():
        return built
    built.parent.mkdir(mode=0o700, exist_ok=True)
    fresh = built.with_suffix(f".{os.getpid()}")  # several test processes may compile at once
    flags = ("-std=c++20", "-shared", "-fPIC", "-O0", "-w")
    torch = (f"-I{root}/include", f"-L{root}/lib", "-lc10", "-ltorch_cpu", f"-Wl,-rpath,{root}/lib")
    ended = subprocess.run(
        [found, *flags, str(SOURCE), "-o", str(fresh), *torch], capture_output=True, text=True
    )
    if ended.returncode:
        raise RuntimeError(f"{found} does not compile {SOURCE.name}:\n{ended.stderr}")
    fresh.replace(built)
    return built
