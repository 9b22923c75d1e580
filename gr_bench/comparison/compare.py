"""Comparing two sides: which sort of comparison is asked for, and where what it measured goes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gr_bench.comparison.sides import KINDS, is_code, look_up
from gr_bench.comparison.subject import read_calls
from gr_bench.errors import RequestError
from gr_bench.files import check_writable, write_whole

if TYPE_CHECKING:
    from gr_bench.comparison.findings import Comparison
    from gr_bench.comparison.judge import Keep
    from gr_bench.comparison.paired import ProgressCallback
    from gr_bench.comparison.subject import Call
    from gr_bench.runs.suite import Suite

DEFAULT_SUITE = "compare"


def compare_two(
    names: Mapping[str, str],
    *,
    suite: str | None,
    calls: Mapping[str, str] | Iterable[str],
    only: str | None,
    device: str | None,
    threads: int,
    threshold: float,
    budget_s: float,
    build: str | None,
    pythons: Mapping[str, str],
    json_file: Path | None,
    progress: ProgressCallback | None,
) -> Comparison:
    """See :func:`gr_bench.compare`; ``names`` and ``pythons`` are by side."""
    keep = json_keeper(json_file)
    of_code = [is_code(name) for name in names.values()]
    if any(of_code) and not all(of_code):
        raise RequestError(f"compare two sides of code ({KINDS}) or two runs' folders")
    asked = read_calls(calls, device=device or "cpu", threads=threads)
    if not all(of_code):
        if device is not None or asked or build is not None:
            raise RequestError(
                "runs are compared by what they have stored: --device, --call and --build are for "
                f"{KINDS}"
            )
        from gr_bench.comparison.stored import compare_runs

        base, head = map(Path, names.values())
        return compare_runs(base, head, threshold, keep)
    check_chosen(asked, suite, only)
    found = look_up(names)  # a revision that is not there is told of before what takes long
    from gr_bench.comparison.judge import compare_code

    cells = suite_for(asked, suite, only, device)
    return compare_code(
        found,
        suite=cells,
        calls=asked,
        build=build,
        pythons=pythons,
        threshold=threshold,
        budget_s=budget_s,
        keep=keep,
        progress=progress or (lambda spent_s, what, *, lasting=False: None),
    )


def check_chosen(calls: Sequence[Call], suite: str | None, only: str | None) -> None:
    """Raise RequestError if a suite, or a choice of its cells, is given beside calls."""
    if calls and suite is not None:
        raise RequestError("a comparison steps calls or a suite's cells: give --call or --suite")
    if calls and only is not None:
        raise RequestError("--only chooses cells of a suite: leave out calls in its place")


def suite_for(
    calls: Sequence[Call], suite: str | None, only: str | None, device: str | None
) -> Suite | None:
    """The suite whose cells are stepped where there are no calls.

    Raises:
        RequestError: as :func:`check_chosen`, or whatever is wrong with the suite.
    """
    from gr_bench.runs.suite import load_suite

    check_chosen(calls, suite, only)
    return None if calls else load_suite(suite or DEFAULT_SUITE, only=only, device=device)


def json_keeper(file: Path | None) -> Keep:
    """A function that writes plain data into a file, or nowhere if there is none.

    Raises:
        RequestError: it cannot be a file.
    """
    if file is None:
        return lambda everything: None
    check_writable(file)

    def keep(everything: dict[str, Any]) -> None:
        text = json.dumps(finite(everything), indent=2, allow_nan=False)
        write_whole(file, lambda open_file: open_file.write(text.encode()))

    return keep


def finite(value: Any) -> Any:
    """Plain data with None for every number that JSON cannot say."""
    if isinstance(value, Mapping):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
