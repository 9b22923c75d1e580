"""The suites that ship, and a suite's contents by its name or path."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from gr_bench.errors import RequestError, unknown

FOLDER = Path(__file__).parents[1] / "suites"


def shipped() -> dict[str, str]:
    """Name and text of every suite that comes with gr-bench."""
    return {file.stem: file.read_text(encoding="utf-8") for file in sorted(FOLDER.glob("*.toml"))}


def read_suite(name: str) -> tuple[str, dict[str, Any]]:
    """The name of a shipped suite or of a TOML file's, and what it says, unchecked.

    Raises:
        RequestError: there is no such suite, or the file cannot be read or is not TOML.
    """
    suites = shipped()
    path = Path(name)
    try:
        if name in suites:
            return name, tomllib.loads(suites[name])
        if path.suffix != ".toml":
            raise unknown("suite", name, suites)
        return path.stem, tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise RequestError(f"suite {name!r} is not valid TOML: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise RequestError(f"suite {name!r}: {reason}") from error
