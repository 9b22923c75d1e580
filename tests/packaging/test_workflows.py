"""What GitHub and pre-commit are told can be read, and names commands and files that exist.

The workflows have not been run on GitHub; what only the service can show stays open.
"""

from __future__ import annotations

import configparser
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from sources import ROOT

WORKFLOWS = sorted(ROOT.glob(".github/workflows/*.yml"))
FORMS = [form for form in ROOT.glob(".github/ISSUE_TEMPLATE/*.yml") if form.name != "config.yml"]
HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXPRESSION = re.compile(r"\$\{\{.*?\}\}")


def read(workflow: Path) -> dict[str, Any]:
    """A workflow; YAML takes its key ``on`` for a truth value."""
    found = yaml.safe_load(workflow.read_text())
    return {"on" if key is True else key: value for key, value in found.items()}


def jobs() -> Iterator[tuple[str, dict[str, Any]]]:
    for workflow in WORKFLOWS:
        for name, job in read(workflow)["jobs"].items():
            yield f"{workflow.name} {name}", job


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, job in jobs():
        yield from ((name, step) for step in job.get("steps", []))


def lines() -> Iterator[list[str]]:
    """The commands of all steps, in words."""
    for _, step in steps():
        yield from (shlex.split(line) for line in step.get("run", "").splitlines())


def targets() -> set[str]:
    """What make can make."""
    named = re.findall(r"^([a-z][a-z -]*):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return {target for names in named for target in names.split()}


def programs(extra: str) -> set[str]:
    """The packages of an extra, by name."""
    return {Requirement(line).name for line in PROJECT["optional-dependencies"][extra]}


def test_there_are_workflows_for_tests_and_for_a_release() -> None:
    assert [workflow.name for workflow in WORKFLOWS] == ["release.yml", "tests.yml"]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda workflow: workflow.name)
def test_a_workflow_may_only_read_unless_a_job_says_more(workflow: Path) -> None:
    assert read(workflow)["permissions"] == {"contents": "read"}


def test_the_job_that_publishes_is_the_only_one_that_may_do_more_and_keeps_no_secret() -> None:
    more = {name: job["permissions"] for name, job in jobs() if "permissions" in job}
    assert more == {"release.yml publish": {"id-token": "write"}}
    assert not any("secrets." in workflow.read_text() for workflow in WORKFLOWS)


def test_what_is_published_was_tested_and_built_before() -> None:
    release = read(ROOT / ".github/workflows/release.yml")["jobs"]
    assert set(release["publish"]["needs"]) == release.keys() - {"publish"}
    assert release["tests"]["uses"] == "./.github/workflows/tests.yml"
    assert "workflow_call" in read(ROOT / ".github/workflows/tests.yml")["on"]


def test_a_release_begins_with_the_tag_of_a_version_and_not_with_the_one_that_moves() -> None:
    (pattern,) = read(ROOT / ".github/workflows/release.yml")["on"]["push"]["tags"]
    pattern = pattern.replace("[0-9]+", "[0-9]")  # GitHub's + repeats; one digit will do here
    assert fnmatchcase("v1.2.3", pattern) and fnmatchcase("v1.2.3rc1", pattern)
    assert not any(fnmatchcase(tag, pattern) for tag in ("v0", "v1.2", "1.2.3"))


def test_every_job_ends_at_some_time() -> None:
    assert all("timeout-minutes" in job for _, job in jobs() if "uses" not in job)


def test_every_action_has_a_version_and_every_file_is_there() -> None:
    used = [job["uses"] for _, job in jobs() if "uses" in job]
    for action in [*used, *(step["uses"] for _, step in steps() if "uses" in step)]:
        if action.startswith("./"):
            assert (ROOT / action).is_file(), action
        else:
            assert re.fullmatch(r"[\w-]+/[\w-]+@(v\d+|release/v\d+)", action), action


def test_every_checkout_of_a_build_has_the_tags() -> None:
    checkouts = [s for _, s in steps() if s.get("uses", "").startswith("actions/checkout")]
    assert len(checkouts) == 4
    assert all(step["with"]["fetch-depth"] == 0 for step in checkouts)


def test_every_command_is_one_that_exists() -> None:
    known = {"python", "test", "installed/bin/python", "installed/bin/gr-bench"}
    seen = set()
    for program, *rest in lines():
        seen.add(program)
        if program == "make":
            assert set(rest) <= targets(), rest
        elif program == "bash":
            assert (ROOT / rest[0]).is_file(), rest
        else:
            assert program in known, program
        if "--constraint" in rest:
            assert (ROOT / rest[rest.index("--constraint") + 1]).is_file()
    assert {"make", "bash"} <= seen


def test_every_script_is_bash() -> None:
    for _, step in steps():
        script = EXPRESSION.sub("expression", step.get("run", ""))
        ended = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr


def test_the_version_of_python_is_one_that_the_project_takes_and_tox_tests() -> None:
    wanted = {
        s["with"]["python-version"] for _, s in steps() if "python-version" in s.get("with", {})
    }
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    assert {"py" + version.replace(".", "") for version in wanted} <= set(
        re.findall(r"py\d+", tox["tox"]["env_list"])
    )
    assert wanted == {PROJECT["requires-python"].removeprefix(">=")}


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_an_issue_form_asks_for_something_and_names_each_answer_once(form: Path) -> None:
    content = yaml.safe_load(form.read_text())
    assert content["name"] and content["description"]
    answers = [part["id"] for part in content["body"]]
    assert len(answers) == len(set(answers))
    assert all(part["attributes"]["label"] for part in content["body"])
    assert any(part.get("validations", {}).get("required") for part in content["body"])


def test_what_a_pull_request_asks_for_exists() -> None:
    text = (ROOT / ".github/PULL_REQUEST_TEMPLATE.md").read_text()
    for asked in re.findall(r"`make ([a-z -]+)`", text):
        assert set(asked.split()) <= targets()
    assert "`CHANGELOG.md`" in text and (ROOT / "CHANGELOG.md").is_file()


def test_the_hooks_run_what_make_lint_and_make_types_do() -> None:
    entries = [shlex.split(hook["entry"]) for hook in HOOKS]
    assert {Path(entry[0]).parent for entry in entries} == {Path(".venv/bin")}
    named = [[Path(entry[0]).name, *entry[1:2]] for entry in entries]
    assert named == [["ruff", "check"], ["ruff", "format"], ["mypy"]]
    assert {name for name, *_ in named} <= programs("lint")


def test_the_environment_of_the_hooks_is_the_one_that_contributors_are_told_of() -> None:
    (installed,) = re.findall(
        r"\.venv/bin/python -m pip install .*", (ROOT / ".pre-commit-config.yaml").read_text()
    )
    assert installed.rstrip("`,") in (ROOT / "CONTRIBUTING.md").read_text()


def test_every_requirement_has_a_pin() -> None:
    """Of the extras too: without a pin, the same commit is tested with other packages tomorrow."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    extras = PROJECT["optional-dependencies"].values()
    named = [*PROJECT["dependencies"], *build, *(line for lines in extras for line in lines)]
    pins = {
        Requirement(line).name.lower().replace("_", "-"): Requirement(line)
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if not line.startswith("#")
    }
    for requirement in map(Requirement, named):
        pin = pins[requirement.name.lower().replace("_", "-")]
        (pinned,) = pin.specifier
        assert pinned.version in requirement.specifier, requirement
