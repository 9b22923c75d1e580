"""The command line as mkdocs-click is to see it: what ``--help`` shows, and no more.

mkdocs-click prints the defaults that Click holds inside, and leaves a command's examples out.
"""

from __future__ import annotations

import copy
import inspect
import re
import sys
import types
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

MODULE = "documented_commands"
"""The module that the page of the command line names."""

NOTHING = "–"


def documented(group: click.Group) -> click.Group:
    """A copy of a group with the defaults that ``--help`` shows, and examples in its help."""
    group = copy.deepcopy(group)
    top = click.Context(group, info_name=group.name, **group.context_settings)
    for command in (group, *group.commands.values()):
        command.add_help_option = False  # the page says it once
        if command.epilog:
            lines = command.epilog.splitlines()[2:]
            examples = "\n".join(["```sh", *(line.strip() for line in lines), "```"])
            told = _escaped(inspect.cleandoc(command.help or ""))
            command.help = f"{told}\n\n**Examples:**\n\n{examples}"
        context = click.Context(command, info_name=command.name, parent=top)
        for option in command.params:
            if isinstance(option, click.Option):
                _document(option, context)
    return group


def _document(option: click.Option, context: click.Context) -> None:
    if option.is_flag:
        option.type = _named("flag")
    elif option.metavar:
        option.type = _named(option.metavar)
    shown = option.get_help_extra(context).get("default", NOTHING)
    option.default = re.sub(r"^\((.*)\)$", r"\1", shown)
    option.help = re.sub(r"\|", r"\|", option.help or "")


def _named(name: str) -> click.ParamType:
    kind = click.types.StringParamType()
    kind.name = name
    return kind


def _escaped(text: str) -> str:
    """The text with its stars and angle brackets as they are, and without Click's ``\\b``."""
    return re.sub(r"([*<])", r"\\\1", text.replace("\b\n", ""))


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Make the copy importable."""
    from gr_bench.cli import app

    module = types.ModuleType(MODULE)
    module.app = documented(app)  # type: ignore[attr-defined]
    sys.modules[MODULE] = module
    return config


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page of the command line with empty places where an option has no default."""
    if page.file.src_uri == "reference/cli.md":
        return html.replace(f"<code>{NOTHING}</code>", "")
    return html
