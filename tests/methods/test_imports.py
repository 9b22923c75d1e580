"""The folder of methods can be lifted, and asks for PyTorch when a method is asked for."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import gr_bench.methods
import gr_bench.workloads.loss


def run(program: str, folder: Path) -> str:
    """What a program prints that finds modules of ``folder`` and no gr_bench."""
    before = f"import sys; sys.path.insert(0, {str(folder)!r}); sys.modules['gr_bench'] = None\n"
    ended = subprocess.run([sys.executable, "-c", before + program], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_the_folder_works_elsewhere_and_imports_pytorch_late(tmp_path: Path) -> None:
    shutil.copytree(Path(gr_bench.methods.__file__).parent, tmp_path / "lifted")
    shutil.copy(gr_bench.workloads.loss.__file__, tmp_path / "lifted_loss.py")
    program = (
        "import lifted, lifted.spelling\n"
        "assert 'torch' not in sys.modules\n"
        "assert set(lifted.__all__) <= set(dir(lifted)), dir(lifted)\n"
        "for name in lifted.__all__: getattr(lifted, name)\n"
        "assert 'torch' in sys.modules\n"
        "import torch, lifted_loss\n"
        "p = torch.tensor([1.0], requires_grad=True)\n"
        "lifted.get('f-gr', gamma=0.1, epsilon=0.1).backward(lambda: (p**2 / 2).sum(), [p])\n"
        "print(lifted.METHODS['f-gr'].__module__, round(p.grad.item(), 6))"
    )
    assert run(program, tmp_path) == "lifted.two_point 1.1\n"  # g + γ·Hg with H = 1


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"'gr_bench\.methods' has no attribute 'AdamGR'"):
        gr_bench.methods.AdamGR  # noqa: B018
    with pytest.raises(ImportError):
        from gr_bench.methods import AdamGR  # noqa: F401
