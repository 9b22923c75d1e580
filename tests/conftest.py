"""What the tests share: plug-ins on the path, a warm command line, runs measured once."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

HERE = Path(__file__).parent
PLUGINS = [str(HERE / "support"), str(HERE / "runs" / "plugins")]
# for the tests, and for the worker processes that they start
sys.path[:0] = PLUGINS
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (*PLUGINS, os.environ.get("PYTHONPATH"))))

# processes of pytest-xdist with a thread for every core each would wait for each other
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# few steps are compiled: a pool of processes that import PyTorch for each costs more than it gains
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")

# what was decided by measuring here before is no matter of the tests'; but fonts may be found again
CACHE = tempfile.TemporaryDirectory(prefix="gr-bench-tests-")
os.environ["XDG_CACHE_HOME"] = CACHE.name
FONTS = Path(tempfile.gettempdir(), "gr-bench-tests-matplotlib")
os.environ.setdefault("MPLCONFIGDIR", str(FONTS))

import cuda_guard  # noqa: E402
from pretended_process import PretendedProcess  # noqa: E402
from processes import Ended, Warm  # noqa: E402

settings.register_profile("no deadline", deadline=None)  # no test asserts a wall-clock time
settings.load_profile("no deadline")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")


@pytest.fixture(autouse=True)
def no_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test has decided by measuring is no matter of another's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(autouse=True)
def denormals() -> Iterator[None]:
    """Denormal numbers, which a worker tried in this process may have flushed, are back after."""
    yield
    if torch := sys.modules.get("torch"):
        torch.set_flush_denormal(False)


SUITE = """
title = "Small"
description = "Both experiments, <i>with</i> accidents."

[[step_cost]]
methods = ["sgd", "sam", "f-gr", "b-gr", "db-gr", "plugged:Raises"]
models = ["mlp(depth=2, width=8)"]
datasets = ["random(shape=(4,), samples=64)"]
batch_sizes = [8, 16]
replicates = 2
most_replicates = 2
seconds_per_block = 0.05
least_rounds = 3

[[generalization]]
methods = ["sgd", "sam", "f-gr", "b-gr", "db-gr", "plugged:Raises", "plugged:Exploding(at=4)"]
models = ["mlp(depth=2, width=8)"]
datasets = ["plugged:blobs"]
batch_sizes = [32]
epochs = 2
seeds = [0, 1]
"""


@dataclass(frozen=True)
class SmallRun:
    """A run of :data:`SUITE`."""

    folder: Path
    ended: Ended


@pytest.fixture(scope="session")
def small_run(command: Warm, tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    """A whole run from the command line; do not change its folder."""
    home = tmp_path_factory.mktemp("small")
    (home / "small.toml").write_text(SUITE)
    ended = command("run", "small.toml", cwd=home)
    return SmallRun(home / "runs" / "small", ended)


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    """``command("run", "quick")``: gr-bench in a process of its own, its imports paid for once."""
    with Warm(tmp_path_factory.mktemp("commands")) as warm:
        yield warm


@pytest.fixture(scope="session")
def pretended_cuda(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PretendedProcess]:
    """A test that asks for this runs where PyTorch believes in two CUDA devices."""
    from torch.version import cuda

    if cuda is not None:
        pytest.skip(f"PyTorch for CUDA {cuda}: CUDA devices are pretended on its CPU build alone")
    if cuda_guard.compiler() is None:
        pytest.skip("no C++ compiler here, which the pretended CUDA devices need")
    cuda_guard.library()
    with PretendedProcess(tmp_path_factory.mktemp("pretended")) as process:
        yield process


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    process = pyfuncitem.funcargs.get("pretended_cuda")
    if process is None:
        return None
    process.run(pyfuncitem)
    return True
