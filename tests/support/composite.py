"""A composite action as GitHub's runner would run it, as far as that goes without the service."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")


@dataclass
class Acted:
    """How a run of an action ended."""

    code: int = 0
    log: str = ""
    summary: str = ""
    steps: dict[str, dict[str, str]] = field(default_factory=dict)
    """Outputs by step."""

    outputs: dict[str, str] = field(default_factory=dict)


class CompositeAction:
    """The steps of an ``action.yml`` that are scripts; other actions are passed over."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.text: dict[str, Any] = yaml.safe_load(file.read_text())
        self.steps = [step for step in self.text["runs"]["steps"] if "run" in step]

    def run(
        self,
        folder: Path,
        *,
        programs: Path,
        inputs: Mapping[str, str],
        github: Mapping[str, Any],
        variables: Mapping[str, str],
        workspace: Path,
    ) -> Acted:
        """Run every step in turn, until one fails.

        Args:
            folder: for the runner's own files; it must be there, and empty.
            programs: a folder that comes first in ``PATH``.
            inputs: those that differ from their defaults.
            github: the context of that name.
            variables: further environment variables.
            workspace: where the repository is checked out.
        """
        defaults = {key: str(of.get("default", "")) for key, of in self.text["inputs"].items()}
        acted = Acted()
        contexts: dict[str, Any] = {
            "inputs": {**defaults, **inputs},
            "github": github,
            "env": variables,
            "steps": {},
        }
        summary, output = folder / "summary", folder / "output"
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("GITHUB_")},
            **variables,
            "PATH": os.pathsep.join([str(programs), os.environ["PATH"]]),
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_ACTION_PATH": str(self.file.parent),
            "GITHUB_REPOSITORY": github["repository"],
            "GITHUB_STEP_SUMMARY": str(summary),
            "GITHUB_OUTPUT": str(output),
            "RUNNER_TEMP": str(folder),
        }
        summary.touch()
        for step in self.steps:
            output.write_text("")
            script = folder / f"{step['id']}.sh"
            script.write_text(step["run"])
            given = {key: evaluated(text, contexts) for key, text in step.get("env", {}).items()}
            ended = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
                cwd=workspace / evaluated(step.get("working-directory", "."), contexts),
                env={**environment, **given},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            acted.log += ended.stdout
            lines = output.read_text().splitlines()
            acted.steps[step["id"]] = dict(line.split("=", 1) for line in lines)
            contexts["steps"][step["id"]] = {"outputs": acted.steps[step["id"]]}
            acted.code = ended.returncode
            if acted.code:
                break
        acted.summary = summary.read_text()
        acted.outputs = {
            key: evaluated(of["value"], contexts) for key, of in self.text["outputs"].items()
        }
        return acted


def evaluated(text: str, contexts: Mapping[str, Any]) -> str:
    """The text with its expressions replaced: names and literals, with ``||`` between them."""
    return EXPRESSION.sub(lambda found: _value(found[1], contexts), text)


def _value(expression: str, contexts: Mapping[str, Any]) -> str:
    for part in map(str.strip, expression.split("||")):
        if part.startswith("'"):
            return part.strip("'")
        value: Any = contexts
        assert part.split(".")[0] in contexts, f"no context {part}"
        for key in part.split("."):
            value = (value or {}).get(key)
        if value:
            return str(value)
    return ""


def program(folder: Path, name: str, source: str) -> None:
    """An executable Python program, with the interpreter of the tests."""
    file = folder / name
    file.write_text(f"#!{sys.executable} -S\n{source}")
    file.chmod(0o755)
