"""The one exception that the command line turns into a one-line message and exit code 2."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class RequestError(ValueError):
    """A request that cannot be done as asked; the message says what would be right."""


class Unsupported(Exception):
    """A combination that cannot work, by the nature of its parts; recorded, and no failure."""


def printable(text: str) -> str:
    """A text in one line that any terminal and any file takes, whatever it came from.

    White space becomes single blanks; control characters, those that change the direction of
    writing, and halves of surrogate pairs are escaped as in Python's source.
    """
    shown = (c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(text.split()))
    return "".join(shown)


def unknown(kind: str, name: str, known: Iterable[str]) -> RequestError:
    """The error for a name that is not known, with the nearest right one."""
    known = list(known)
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known) or 'none'}"
    return RequestError(f"no {kind} {name!r}: {hint}")
