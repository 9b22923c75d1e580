"""Source lines to point at."""

from __future__ import annotations

import inspect
import re
import sys
import sysconfig
import traceback
from collections.abc import Iterable
from pathlib import Path

import torch

import gr_bench.meters.host_reads

_OWN = (str(Path(__file__).parent), gr_bench.meters.host_reads.__file__)
_OTHERS = (
    str(Path(torch.__file__).parent),
    sysconfig.get_path("stdlib") + "/",
    "<",  # code without a file
)
_PACKAGES = (sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))

_DUMPED = re.compile(r'File "(?P<file>.+?)", line (?P<line>\d+) in')


def of_method(method: object) -> str | None:
    """The line at which the method's ``backward`` begins; None where there is no source.

    A method that stands for something else, as an optimizer, may name that as its ``source``.
    """
    function = inspect.unwrap(getattr(method, "source", None) or type(method).backward)  # type: ignore[attr-defined]
    try:
        file = inspect.getsourcefile(function)
        line = inspect.getsourcelines(function)[1]
    except (OSError, TypeError):
        return None
    return f"{file}:{line}"


def of_exception(error: BaseException) -> str | None:
    """The innermost line of the traceback that is neither PyTorch's nor a rule's own."""
    frames = traceback.extract_tb(error.__traceback__)
    return innermost((f.filename, f.lineno or 0) for f in reversed(frames))


def of_caller() -> str | None:
    """The same for the code that is running."""
    frame = sys._getframe(1)
    frames = []
    while frame is not None:
        frames.append((frame.f_code.co_filename, frame.f_lineno))
        frame = frame.f_back  # type: ignore[assignment]
    return innermost(frames)


def of_dump(text: str) -> str | None:
    """The same for what :mod:`faulthandler` has written of the main thread, which comes last."""
    last = text.rpartition("most recent call first")[2]
    return innermost((m["file"], int(m["line"])) for m in _DUMPED.finditer(last))


def innermost(frames: Iterable[tuple[str, int]]) -> str | None:
    """The first of (file, line) from the inside out that a method's author would look at."""
    for file, line in frames:
        is_package = file.startswith(_PACKAGES) and not file.startswith(_OTHERS[0])
        if is_package or not file.startswith((*_OWN, *_OTHERS)):
            return f"{file}:{line}"
    return None
