"""The literature behind methods and statistics, in BibTeX."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources

from gr_bench.spec import Spec, parse

OWN = "grbench"
"""The key of gr-bench itself."""

CITATION = re.compile(r"\[(@[\w-]+(?:; @[\w-]+)*)\]")
"""One or several entries cited in a text, as Pandoc has them: ``[@foret2021; @kwon2021]``."""


@dataclass(frozen=True)
class Entry:
    """An entry of ``gr_bench/methods/references.bib``."""

    key: str
    text: str
    """In BibTeX, whole."""

    methods: tuple[str, ...]
    """The methods and combinators that it is the source of."""

    @property
    def eprint(self) -> str | None:
        """Its number at arXiv."""
        found = re.search(r"eprint = \{(.*)\}", self.text)
        return found[1] if found else None


@cache
def entries() -> dict[str, Entry]:
    """All entries by their keys."""
    text = (resources.files("gr_bench.methods") / "references.bib").read_text(encoding="utf-8")
    found = {}
    for match in re.finditer(r"(?ms)^@\w+\{([\w-]+),$.*?^\}$", text):
        own = match[0]
        keywords = re.search(r"keywords = \{(.*)\}", own)
        methods = tuple(keywords[1].split(", ")) if keywords else ()
        found[match[1]] = Entry(match[1], own, methods)
    return found


def sources(spec: str) -> list[str]:
    """The keys of a method's sources, those of the methods inside it too; none of one from
    elsewhere.
    """
    names = set(_names(parse(spec)))
    return [key for key, entry in entries().items() if names & {*entry.methods}]


def _names(spec: Spec) -> Iterator[str]:
    yield spec.name
    if spec.inner:
        yield from _names(spec.inner)


def cited(text: str) -> list[str]:
    """The keys that a text cites, in order."""
    keys = [key.strip("@ ") for group in CITATION.findall(text) for key in group.split(";")]
    return list(dict.fromkeys(keys))


def cite(keys: Iterable[str]) -> str:
    """A citation, with a space before it; nothing for no keys."""
    inside = "; ".join(f"@{key}" for key in keys)
    return f" [{inside}]" if inside else ""


def bibliography(keys: Iterable[str], version: str) -> str:
    """The entries of these keys as a BibTeX file, with the version of gr-bench that measured."""
    known = entries()
    text = "\n\n".join(known[key].text for key in dict.fromkeys(keys)) + "\n"
    return text.replace("Version VERSION", f"Version {version}")
