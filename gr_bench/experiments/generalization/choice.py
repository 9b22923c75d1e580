"""Fleet or loop: decided by measuring, once for every sort of training on a machine."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pooch
import torch

from gr_bench.experiments.generalization.cell import GeneralizationCell
from gr_bench.files import write_whole
from gr_bench.meters.device import Device
from gr_bench.spec import parse

FILE = "trainers.json"

DECISIVE = ("model", "dataset", "batch_size", "device", "dtype", "threads", "momentum")
"""Fields of a cell that bear on which of the two is the faster."""


def remembered(
    cell: GeneralizationCell, runs: int, device: Device, decide: Callable[[], bool]
) -> bool:
    """Whether runs like ``cell`` are to be trained together, as it was decided first.

    The two trainers give the same results but for rounding, which grows on the way; where they are
    about as fast, chance would choose between them, and a suite that is run again would end
    otherwise in the last digits. So what was decided is kept in the user's cache folder
    (``trainers.json``), for this device, PyTorch, sort of training and number of runs.

    Args:
        cell: one of them.
        runs: how many are together.
        device: where they are trained.
        decide: measures; called unless it is known.
    """
    fields = asdict(cell)
    sort = [parse(cell.method).name, *(fields[key] for key in DECISIVE), runs]
    key = json.dumps([*sort, device.describe().get("name"), torch.__version__])
    folder = Path(pooch.os_cache("gr-bench"))
    known = _read(folder)
    if key in known:
        return known[key]
    decision = decide()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / f".{FILE}.lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            known = _read(folder)
            decision = known.setdefault(key, decision)  # another process may have been first
            text = json.dumps(known, indent=1)
            write_whole(folder / FILE, lambda file: file.write(text.encode()))
    except OSError:  # nowhere to keep it: it will be decided anew
        pass
    return decision


def _read(folder: Path) -> dict[str, bool]:
    try:
        known = json.loads((folder / FILE).read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
