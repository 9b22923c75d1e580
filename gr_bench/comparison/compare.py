"""Comparing two sides: which sort of comparison is asked for, and where what it measured goes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gr_bench.comparison.findings import Comparison
from gr_bench.comparison.judge import compare_revisions
from gr_bench.comparison.paired import ProgressCallback
from gr_bench.comparison.revisions import PREFIX
from gr_bench.comparison.stored import compare_runs
from gr_bench.errors import RequestError
from gr_bench.files import write_whole
from gr_bench.runs.suite import load_suite


def compare_sides(
    names: Mapping[str, str],
    *,
    suite: str,
    only: str | None,
    device: str | None,
    threshold: float,
    budget_s: float,
    pythons: Mapping[str, str],
    json_file: Path | None,
    progress: ProgressCallback | None,
) -> Comparison:
    """See :func:`gr_bench.compare`; ``names`` and ``pythons`` are by side."""
    if json_file is not None:
        check_writable(json_file)
    revisions = [name.startswith(PREFIX) for name in names.values()]
    if any(revisions) and not all(revisions):
        raise RequestError(
            f"compare two revisions ({PREFIX}NAME {PREFIX}NAME) or two runs' folders"
        )

    def keep(everything: dict[str, Any]) -> None:
        if json_file is not None:
            text = json.dumps(everything, indent=2)
            write_whole(json_file, lambda file: file.write(text.encode()))

    if not all(revisions):
        if device is not None:
            raise RequestError(
                "runs were measured where they were measured: give a device for two revisions only"
            )
        base, head = map(Path, names.values())
        return compare_runs(base, head, threshold, keep)
    return compare_revisions(
        names,
        load_suite(suite, only=only, device=device),
        pythons=pythons,
        threshold=threshold,
        budget_s=budget_s,
        keep=keep,
        progress=progress or (lambda spent_s, what: None),
    )


def check_writable(file: Path) -> None:
    """Raise RequestError unless ``file`` can be a file in a folder that is there."""
    if file.is_dir() or not file.parent.is_dir():
        raise RequestError(f"cannot write to {file}: name a file in a folder that is there")
