"""Python environments of a side's own, in which what the environment here has can be seen."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from gr_bench.errors import RequestError

_SITE = "import json, site; print(json.dumps(site.getsitepackages()))"


def make_environment(folder: Path, python: str) -> Path:
    """A virtual environment whose packages come before those of ``python``, which it sees as well.

    So PyTorch need not be installed again for either side.

    Args:
        folder: where; it is made.
        python: an interpreter.

    Returns:
        The environment's interpreter.

    Raises:
        RequestError: it cannot be made.
    """
    run([python, "-m", "venv", str(folder)], what=f"{python} -m venv")
    made = folder / "bin" / "python"
    parents = json.loads(run([python, "-c", _SITE], what=python))
    (own, *_) = json.loads(run([str(made), "-c", _SITE], what=str(made)))
    lines = [f"import site; site.addsitedir({parent!r})\n" for parent in parents]
    Path(own, "beside.pth").write_text("".join(lines))
    return made


def install(python: Path, requirement: str) -> None:
    """Install a requirement into an environment, and what it needs and is not to be seen there.

    Raises:
        RequestError: pip's last words.
    """
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    what = f"pip install {requirement}"
    # the environment beside may have it, in this version or another: a copy of its own first
    run([*pip, "--no-deps", "--ignore-installed", requirement], what=what)
    run([*pip, requirement], what=what)


def build(python: Path, command: str, folder: Path) -> None:
    """Run a shell command in a checkout, with an environment's programs first on the path.

    Raises:
        RequestError: the command's last words.
    """
    programs = python.parent
    variables = {
        "PATH": os.pathsep.join([str(programs), os.environ.get("PATH", os.defpath)]),
        "VIRTUAL_ENV": str(programs.parent),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    run(["sh", "-c", command], what=command, cwd=folder, variables=variables)


def run(
    command: Sequence[str],
    *,
    what: str,
    cwd: Path | None = None,
    variables: dict[str, str] | None = None,
) -> str:
    """The output of a command.

    Args:
        command: program and arguments.
        what: the command in messages.
        cwd: its working directory.
        variables: of its environment, beside those here.

    Raises:
        RequestError: it cannot be run, or its exit code is not 0; with its last line.
    """
    try:
        ended = subprocess.run(
            command,
            cwd=cwd,
            env=os.environ | (variables or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise RequestError(f"{what}: {error.strerror or error}") from error
    if ended.returncode:
        lines = [line for line in ended.stdout.splitlines() if line.strip()]
        last = next((line for line in lines[::-1] if "error" in line.lower()), "".join(lines[-1:]))
        raise RequestError(f"{what}: {last.strip() or f'exit code {ended.returncode}'}")
    return ended.stdout
