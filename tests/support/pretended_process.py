"""Tests on the pretended CUDA devices: each in a fork of one process that has loaded them."""

from __future__ import annotations

import inspect
import itertools
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

SERVER = """
import pretended_cuda
import importlib.util, os, pickle, sys, traceback
from pathlib import Path
import gr_bench.registry, gr_bench.timing.block, gr_bench.experiments.step_cost.measure
import pytest

pretended_cuda.install()
with pretended_cuda.FakeTensorMode():  # imports much at its first operator
    pretended_cuda.torch.ones(2).to("cuda")
for line in sys.stdin:
    folder = Path(line.rstrip("\\n"))
    child = os.fork()
    if not child:
        os.dup2(os.open(folder / "out", os.O_CREAT | os.O_WRONLY), 1)
        os.dup2(1, 2)
        code = 1
        try:
            request = pickle.loads((folder / "request").read_bytes())
            os.environ.clear()
            os.environ.update(request["environment"])
            spec = importlib.util.spec_from_file_location(request["module"], request["file"])
            module = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = module
            spec.loader.exec_module(module)
            getattr(module, request["function"])(**pickle.loads(request["arguments"]))
            code = 0
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        os._exit(code)  # without the interpreter's own end, which takes seconds in a fork
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class PretendedProcess:
    """A process with pretended CUDA devices, in forks of which test functions run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count()
        self._server = subprocess.Popen(
            [sys.executable, "-c", SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._server.poll() is None:
            os.killpg(self._server.pid, signal.SIGKILL)  # a fork that hangs is of the same group
        self._server.communicate()

    def run(self, item: pytest.Function) -> None:
        """Run a test in a fork; it fails here if it failed there.

        The test is a function of a module, and what it is given can be pickled. The module is
        imported anew, so that what it says of ``torch`` is said where the devices are.
        """
        folder = self._folder / str(next(self._numbers))
        folder.mkdir()
        names = inspect.signature(item.obj).parameters
        request: dict[str, Any] = {
            "module": item.module.__name__,
            "file": str(item.path),
            "function": item.originalname,
            "arguments": pickle.dumps({name: item.funcargs[name] for name in names}),
            "environment": dict(os.environ),
        }
        (folder / "request").write_bytes(pickle.dumps(request))
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(f"{folder}\n")
        self._server.stdin.flush()
        code = self._server.stdout.readline()
        if code != "0\n":
            said = (folder / "out").read_text() if (folder / "out").exists() else ""
            pytest.fail(f"on the pretended devices (code {code.strip()}):\n{said}", pytrace=False)
