"""The answers of a program here, kept as JSON with the environment that they were found in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gr_bench.files import write_whole
from gr_bench.runs import environment

ENVIRONMENT = "environment"


def write_answers(file: Path, answers: Mapping[str, Any], device: str = "cpu") -> None:
    """Write answers, and as ``environment`` the machine, the software and the commit of now."""
    text = json.dumps({ENVIRONMENT: environment.describe(device), **answers}, indent=2) + "\n"
    write_whole(file, lambda opened: opened.write(text.encode()))


def read_answers(file: Path) -> dict[str, Any]:
    """The answers in a file, without the environment; none if there is no file."""
    answers: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    answers.pop(ENVIRONMENT, None)
    return answers
