"""Docstrings as mkdocstrings reads them: Sphinx's roles are code, an example is a section."""

from __future__ import annotations

import re
from typing import Any

ROLE = re.compile(r":[a-z]+:`(~?)([^`]+)`")
EXAMPLE = re.compile(r"^Example:$", re.MULTILINE)


def without_roles(text: str) -> str:
    """The text with ``:func:`~package.name``` as `` `name` ``, without ``~`` in full."""

    def code(role: re.Match[str]) -> str:
        name = role[2].rpartition(".")[2] if role[1] else role[2]
        return f"`{name}`"

    return ROLE.sub(code, text)


def readable(docstring: str) -> str:
    """A docstring without roles, its ``Example`` under the name by which griffe knows it."""
    return EXAMPLE.sub("Examples:", without_roles(docstring))


try:
    import griffe
except ImportError:  # the tests' environment need not have it
    pass
else:

    class Readable(griffe.Extension):
        """An extension of griffe that makes every docstring readable."""

        def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
            """Rewrite the docstring of one object."""
            if obj.docstring is not None:
                obj.docstring.value = readable(obj.docstring.value)
