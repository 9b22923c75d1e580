"""Checkpoints: the state of a unit of trainings on the disk, so that a kill costs little."""

from __future__ import annotations

import io
import json
import pickle
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from gr_bench.experiments.generalization.cell import GeneralizationCell
from gr_bench.files import write_whole

Piece = Sequence[GeneralizationCell]
"""Cells that are trained together."""


class CheckpointFolder:
    """A unit's folder: which cells are trained together, and how far each piece has come.

    Args:
        folder: the unit's own; None keeps nothing.
        every_s: a state is saved at the end of the first epoch that ends this long after the last
            time, so a kill costs this many seconds or an epoch, whichever is longer.
    """

    def __init__(self, folder: Path | None, every_s: float) -> None:
        self._folder = folder
        self._every_s = every_s

    def pieces(self, decide: Callable[[], Sequence[Piece]]) -> Sequence[Piece]:
        """The pieces as decided at first: what is trained together decides the last digits."""
        if self._folder is None:
            return decide()
        path = self._folder / "pieces.json"
        if path.exists():
            plain = json.loads(path.read_text())
            return [[GeneralizationCell(**cell) for cell in piece] for piece in plain]
        pieces = decide()
        plain = [[asdict(cell) for cell in piece] for piece in pieces]
        self._folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, lambda file: file.write(json.dumps(plain).encode()))
        return pieces

    def checkpoint(self, piece: int, device: torch.device) -> Checkpoint:
        """The checkpoint that keeps the state of a piece, which is trained on a device."""
        path = None if self._folder is None else self._folder / f"{piece}.pt"
        return Checkpoint(path, self._every_s, device)


class Checkpoint:
    """A training's state on the disk, the random generators' included.

    Args:
        path: of its file; None keeps nothing.
        every_s: seconds between two savings.
        device: that the training is on. CUDA is left alone by a training on the CPU, and one on a
            GPU may go on on any other.
    """

    def __init__(self, path: Path | None, every_s: float, device: torch.device) -> None:
        self._path = path
        self._every_s = every_s
        self._device = device
        self._last = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """The state saved last, with the random generators set to where they were; or None.

        Somebody's optimizer or method may have more than tensors and plain data in its state, which
        is not read again: that costs the checkpoint, and not the training.
        """
        if self._path is None or not self._path.exists():
            return None
        try:
            kept: dict[str, Any] = torch.load(self._path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            print(f"no checkpoint: {str(error).splitlines()[0]}", file=sys.stderr)
            return None
        torch.set_rng_state(kept["random_state"])
        if self._device.type == "cuda":
            torch.cuda.set_rng_state(kept["cuda_random_state"], self._device)
        state: dict[str, Any] = kept["state"]
        return state

    def save_if_due(self, state: Callable[[], dict[str, Any]]) -> None:
        """Save, if it is time.

        A disk that is full costs the checkpoint, and not the training.
        """
        if self._path is None or time.monotonic() - self._last < self._every_s:
            return
        kept = {
            "state": state(),
            "random_state": torch.get_rng_state(),
            "cuda_random_state": (
                torch.cuda.get_rng_state(self._device) if self._device.type == "cuda" else None
            ),
        }
        whole = io.BytesIO()  # from a file that is full, torch.save has other errors than OSError
        torch.save(kept, whole)
        try:
            write_whole(self._path, lambda file: file.write(whole.getbuffer()))
        except OSError as error:
            print(f"no checkpoint: {error}", file=sys.stderr)
        self._last = time.monotonic()
