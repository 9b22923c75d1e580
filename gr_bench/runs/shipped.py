"""The suites that ship, and a suite's text by its name or path."""

from __future__ import annotations

from pathlib import Path

from gr_bench.errors import RequestError, unknown

FOLDER = Path(__file__).parents[1] / "suites"


def shipped() -> dict[str, str]:
    """Name and text of every suite that comes with gr-bench."""
    return {file.stem: file.read_text(encoding="utf-8") for file in sorted(FOLDER.glob("*.toml"))}


def read_suite(name: str) -> tuple[str, str]:
    """The text of a shipped suite or of a TOML file, and the suite's name.

    Raises:
        RequestError: there is no such suite, or the file cannot be read.
    """
    suites = shipped()
    if name in suites:
        return suites[name], name
    path = Path(name)
    if path.suffix != ".toml":
        raise unknown("suite", name, suites)
    try:
        return path.read_text(encoding="utf-8"), path.stem
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise RequestError(f"suite {name!r}: {reason}") from error
