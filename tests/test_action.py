"""The action's steps in bash, with `gh`, pip and sometimes gr-bench played by others.

What only the service can show stays open: that the runner takes ``action.yml`` (its schema does),
that its token may write, and that outputs of a failed action reach later steps.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from composite import EXPRESSION, Acted, CompositeAction, program
from jsonschema import Draft202012Validator
from synthetic import cost, run_of, timed

ROOT = Path(__file__).parent.parent
ACTION = CompositeAction(ROOT / "action.yml")
SCHEMA = json.loads((ROOT / "docs/comparison.schema.json").read_text())

needs_jq = pytest.mark.skipif(shutil.which("jq") is None, reason="the filter of `gh` is jq's")

RECORDER = """
import json, os, sys
with open(os.environ["CALLS"], "a") as file:
    file.write(json.dumps([os.path.basename(sys.argv[0]), *sys.argv[1:]]) + "\\n")
"""

GH = (
    RECORDER
    + """
import subprocess
arguments = sys.argv[1:]
reads = "--jq" in arguments
if os.environ.get("GH_REFUSES") in ("all", "reading" if reads else "writing"):
    sys.exit("gh: Resource not accessible by integration (HTTP 403)")
if reads:
    assert "--paginate" in arguments
    for page in sorted(os.listdir(os.environ["PAGES"])):
        with open(os.path.join(os.environ["PAGES"], page)) as file:
            filter = arguments[arguments.index("--jq") + 1]
            subprocess.run(["jq", "-r", filter], stdin=file, check=True)
else:
    (body,) = (a for a in arguments if a.startswith("body=@"))
    with open(body.removeprefix("body=@")) as file, open(os.environ["WRITTEN"], "w") as written:
        written.write(file.read())
"""
)

PIP = (
    RECORDER
    + f"""
if sys.argv[1:3] != ["-m", "pip"]:
    os.execv({sys.executable!r}, [{sys.executable!r}, *sys.argv[1:]])
"""
)

REAL = f"""
import os, sys
os.execv({sys.executable!r}, [{sys.executable!r}, "-m", "gr_bench", *sys.argv[1:]])
"""

PLAYED = (
    RECORDER
    + """
code = int(os.environ["EXIT_CODE"])
if code in (0, 1, 3):
    for option, text in (("--markdown", "### The verdict\\n"), ("--json", "{}")):
        with open(sys.argv[sys.argv.index(option) + 1], "w") as file:
            file.write(text)
    with open(os.environ["GITHUB_OUTPUT"], "a") as file:
        file.write("regression=true\\n")
else:
    print("gr-bench: no such thing", file=sys.stderr)
sys.exit(code)
"""
)


class Runner:
    """A runner with a repository, in which the action can be run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workspace = folder / "workspace"
        self.programs = folder / "programs"
        self.pages = folder / "pages"
        for each in (self.workspace, self.programs, self.pages):
            each.mkdir()
        program(self.programs, "gh", GH)
        program(self.programs, "python", PIP)
        program(self.programs, "gr-bench", PLAYED)
        self.github: dict[str, Any] = {
            "repository": "owner/shop",
            "server_url": "https://github.com",
            "run_id": 7,
            "job": "compare",
            "token": "secret",
            "event": {},
        }
        self.variables = {
            "CALLS": str(folder / "calls"),
            "WRITTEN": str(folder / "written"),
            "PAGES": str(self.pages),
            "EXIT_CODE": "0",
        }
        self.runs = 0

    def act(self, inputs: Mapping[str, str] | None = None, **variables: str) -> Acted:
        self.runs += 1
        temporary = self.folder / f"temp{self.runs}"
        temporary.mkdir()
        for name in ("calls", "written"):
            (self.folder / name).unlink(missing_ok=True)
        return ACTION.run(
            temporary,
            programs=self.programs,
            inputs={"base": "git:a", **(inputs or {})},
            github=self.github,
            variables={**self.variables, **variables},
            workspace=self.workspace,
        )

    def pull_request(self, **event: Any) -> None:
        self.github["event"] = {"pull_request": {"number": 5, **event}}

    def comments(self, *pages: list[dict[str, Any]]) -> None:
        """The comments that the pull request has, page by page."""
        for number, page in enumerate(pages):
            (self.pages / str(number)).write_text(json.dumps(page))

    def calls(self, name: str) -> list[list[str]]:
        file = self.folder / "calls"
        calls = map(json.loads, file.read_text().splitlines()) if file.exists() else ()
        return [arguments for called, *arguments in calls if called == name]

    @property
    def written(self) -> str:
        return (self.folder / "written").read_text()


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


# --- inputs


def test_no_script_has_an_expression_in_it() -> None:
    """Text that is put into a script would be run: a branch may be called $(rm -rf .)."""
    for step in ACTION.steps:
        assert step["shell"] == "bash"
        assert not EXPRESSION.search(step["run"]), step["name"]


def test_every_input_and_output_is_described_and_documented() -> None:
    page = (ROOT / "docs/ci.md").read_text()
    for name, about in {**ACTION.text["inputs"], **ACTION.text["outputs"]}.items():
        assert about["description"]
        assert f"`{name}`" in page


def test_every_input_reaches_the_command(runner: Runner) -> None:
    runner.act(
        {
            "call": "shop:total\n\n  shop.basket:add  \n",
            "suite": "my suite.toml",
            "only": "*sgd*",
            "base": "git:v1.0",
            "head": "git:WORKTREE",
            "budget": "2m",
            "threshold": "1%",
            "build": "make && make install",
            "fail-undecided": "true",
        }
    )
    ((command, *rest),) = runner.calls("gr-bench")
    results = Path(rest[1]).parent
    assert command == "compare"
    assert rest[:4] == [
        *("--json", str(results / "comparison.json")),
        *("--markdown", str(results / "comparison.md")),
    ]
    assert rest[4:] == [
        *("--call", "shop:total", "--call", "shop.basket:add"),
        *("--suite", "my suite.toml", "--only", "*sgd*", "--budget", "2m", "--threshold", "1%"),
        *("--build", "make && make install", "--fail-undecided"),
        *("--", "git:v1.0", "git:WORKTREE"),
    ]


def test_an_input_that_is_not_given_is_no_option(runner: Runner) -> None:
    runner.act()
    ((_, *rest),) = runner.calls("gr-bench")
    assert rest[4:] == ["--", "git:a", "git:HEAD"]


def test_no_input_is_run(runner: Runner) -> None:
    evil = "$(touch evil) `touch evil` ; touch evil # \"'; touch evil"
    names = ("call", "suite", "only", "budget", "threshold", "build", "base", "head", "title")
    runner.pull_request()
    acted = runner.act(dict.fromkeys((*names, "install"), evil))
    assert acted.code == 0
    ((_, *rest),) = runner.calls("gr-bench")
    assert rest.count(evil) == len(names) - 1
    assert not list(runner.folder.rglob("evil"))


def test_it_installs_itself_or_what_is_asked_for(runner: Runner) -> None:
    runner.act()
    assert runner.calls("python")[0][-1] == str(ROOT)
    runner.act({"install": "gr-bench==0.1.0"})
    assert runner.calls("python")[0][-1] == "gr-bench==0.1.0"


# --- the two sides


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=b", "-c", "commit.gpgsign=false")
    return subprocess.run(
        ["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def new_origin(runner: Runner) -> Path:
    """An empty repository that the workspace fetches from."""
    origin = runner.folder / "origin"
    origin.mkdir()
    git(origin, "init", "--quiet", "--initial-branch", "main")
    git(origin, "config", "uploadpack.allowAnySHA1InWant", "true")  # as GitHub's
    git(runner.workspace, "init", "--quiet")
    git(runner.workspace, "remote", "add", "origin", origin.as_uri())
    return origin


@pytest.fixture
def commits(runner: Runner) -> dict[str, str]:
    """A pull request whose target has gone on; the workspace holds its merge, one commit deep.

    ``first``, ``parted``, ``later`` on main; ``head`` parted from it; ``merge`` of ``later`` and
    ``head``.
    """
    origin = new_origin(runner)
    found = {}

    def commit(name: str) -> None:
        git(origin, "commit", "--quiet", "--allow-empty", "--message", name)
        found[name] = git(origin, "rev-parse", "HEAD")

    commit("first")
    commit("parted")
    git(origin, "checkout", "--quiet", "-b", "pull")
    commit("head")
    git(origin, "checkout", "--quiet", "main")
    commit("later")
    git(origin, "checkout", "--quiet", "--detach")
    git(origin, "merge", "--quiet", "--no-ff", "--message", "merge", "pull")
    found["merge"] = git(origin, "rev-parse", "HEAD")
    git(origin, "update-ref", "refs/pull/5/merge", "HEAD")
    git(origin, "update-ref", "refs/pull/5/head", "pull")
    git(origin, "checkout", "--quiet", "main")
    git(origin, "branch", "--quiet", "-D", "pull")  # it is in a fork
    return found


def check_out(runner: Runner, commit: str) -> None:
    """As actions/checkout does."""
    git(runner.workspace, "fetch", "--quiet", "--no-tags", "--depth", "1", "origin", commit)
    git(runner.workspace, "checkout", "--quiet", "--detach", commit)


def sides(runner: Runner, acted: Acted) -> list[str]:
    """The commits that the sides stand for."""
    from gr_bench.comparison.revisions import resolve

    return [
        resolve(runner.workspace, side, acted.steps["sides"][side]).commit
        for side in ("base", "head")
    ]


@pytest.mark.parametrize("checked_out", ["merge", "head", "later"])
def test_a_pull_request_is_compared_with_where_it_branched_off(
    runner: Runner, commits: dict[str, str], checked_out: str
) -> None:
    check_out(runner, commits[checked_out])
    runner.pull_request(
        base={"ref": "main", "sha": commits["first"]}, head={"sha": commits["head"]}
    )
    acted = runner.act({"base": ""})
    assert acted.code == 0, acted.log
    assert sides(runner, acted) == [commits["parted"], commits["head"]]


def test_a_clone_of_one_branch_gets_the_other(runner: Runner, commits: dict[str, str]) -> None:
    git(runner.workspace, "fetch", "--quiet", "--no-tags", "origin", commits["head"])
    git(runner.workspace, "checkout", "--quiet", "--detach", commits["head"])
    runner.pull_request(base={"ref": "main"}, head={"sha": commits["head"]})
    acted = runner.act({"base": ""})
    assert acted.code == 0, acted.log
    assert sides(runner, acted) == [commits["parted"], commits["head"]]


def test_a_push_is_compared_with_the_commit_before(runner: Runner, commits: dict[str, str]) -> None:
    check_out(runner, commits["later"])
    acted = runner.act({"base": ""})
    assert acted.code == 0, acted.log
    assert sides(runner, acted) == [commits["parted"], commits["later"]]


def test_sides_that_are_given_are_left_as_they_are(runner: Runner) -> None:
    runner.pull_request(base={"ref": "main"}, head={"sha": "abc"})
    given = runner.act({"base": "runs/a", "head": "runs/b"}).steps["sides"]
    assert given == {"base": "runs/a", "head": "runs/b"}


# --- the comment

OURS = {"login": "github-actions[bot]"}
MARKER = "<!-- gr-bench: compare -->"
COMMENTS = [
    [
        {"id": 1, "user": {"login": "stranger"}, "body": f"{MARKER}\nmine"},
        {"id": 2, "user": OURS, "body": f"another job's, which quotes {MARKER}"},
        {"id": 3, "user": OURS, "body": "<!-- gr-bench: compare gpu -->\nanother comparison's"},
    ],
    [{"id": 4, "user": OURS, "body": f"{MARKER}\nthe last verdict"}],
]


@needs_jq
def test_the_first_run_writes_a_comment(runner: Runner) -> None:
    runner.pull_request()
    runner.comments(COMMENTS[0])
    acted = runner.act()
    assert acted.code == 0
    _, write = runner.calls("gh")
    assert write[:5] == [
        "api",
        "--silent",
        "--method",
        "POST",
        "repos/owner/shop/issues/5/comments",
    ]
    assert runner.written.splitlines() == [
        MARKER,
        "### The verdict",
        "",
        "<sub>compare · [log](https://github.com/owner/shop/actions/runs/7)</sub>",
    ]


@needs_jq
def test_the_second_run_brings_it_up_to_date(runner: Runner) -> None:
    runner.pull_request()
    runner.comments(*COMMENTS)
    assert runner.act().code == 0
    _, write = runner.calls("gh")
    assert write[2:5] == ["--method", "PATCH", "repos/owner/shop/issues/comments/4"]
    assert "the last verdict" not in runner.written


@needs_jq
def test_a_title_has_a_comment_of_its_own(runner: Runner) -> None:
    runner.pull_request()
    runner.comments(*COMMENTS)
    runner.act({"title": "compare gpu"})
    assert runner.calls("gh")[1][4] == "repos/owner/shop/issues/comments/3"
    runner.act({"title": 'other "--> <b>'})
    assert runner.calls("gh")[1][3] == "POST"
    assert runner.written.startswith('<!-- gr-bench: other "-- b -->\n')


@needs_jq
def test_a_comparison_that_failed_takes_the_old_verdict_away(runner: Runner) -> None:
    runner.pull_request()
    runner.comments(*COMMENTS)
    acted = runner.act(EXIT_CODE="2")
    assert acted.code == 2
    assert runner.calls("gh")[1][3] == "PATCH"
    assert "Nothing was compared (exit code 2)" in runner.written
    assert "::error title=gr-bench::Nothing was compared (exit code 2)" in acted.log


@pytest.mark.parametrize("refused", ["all", "writing"])
def test_a_fork_may_not_comment_and_fails_for_its_verdict_alone(
    runner: Runner, refused: str
) -> None:
    if refused == "writing" and shutil.which("jq") is None:
        pytest.skip("the filter of `gh` is jq's")
    runner.pull_request()
    runner.comments(*COMMENTS)
    for code in (0, 1, 3):
        acted = runner.act(GH_REFUSES=refused, EXIT_CODE=str(code))
        assert acted.code == code
        assert "HTTP 403" in acted.log
        assert "::notice title=gr-bench::The comment could not be written" in acted.log
        assert "`pull-requests: write`" in acted.summary


@needs_jq
def test_where_comments_cannot_be_read_no_second_one_is_written(runner: Runner) -> None:
    runner.pull_request()
    runner.comments(*COMMENTS)
    assert runner.act(GH_REFUSES="reading").code == 0
    assert len(runner.calls("gh")) == 1


def test_without_a_pull_request_or_a_wish_there_is_no_comment(runner: Runner) -> None:
    assert runner.act().code == 0
    assert runner.calls("gh") == []
    runner.pull_request()
    assert runner.act({"comment": "false"}).code == 0
    assert runner.calls("gh") == []


@pytest.mark.parametrize("code", [0, 1, 2, 3, 130])
def test_the_job_ends_with_the_commands_own_code(runner: Runner, code: int) -> None:
    acted = runner.act(EXIT_CODE=str(code))
    assert acted.code == code
    assert ("::error" in acted.log) == (code in (2, 130))


# --- with the real command


def stored(folder: Path, sam: float) -> Path:
    """A run in which SAM takes ``sam`` times as long as SGD."""
    sgd, noise = cost(), (-0.001, 0.001, 0.0, -0.0005, 0.0005)
    records = []
    for number, error in enumerate(noise):
        records.append(timed(sgd, number, [1e-3] * 3))
        records.append(timed(cost("sam"), number, [1e-3 * sam * (1 + error)] * 3))
        records.append(timed(replace(sgd, control=True), number, [1e-3 * (1 + error)] * 3))
    return run_of(folder, *records)


@needs_jq
def test_a_regression_of_stored_runs_from_end_to_end(runner: Runner) -> None:
    program(runner.programs, "gr-bench", REAL)
    runner.pull_request()
    runner.comments(*COMMENTS)
    for name, sam in (("a", 2.0), ("b", 2.1)):
        stored(runner.workspace / name, sam)
    acted = runner.act({"base": "a", "head": "b"})
    assert acted.code == 1, acted.log
    assert acted.outputs["regression"] == "true"
    assert acted.outputs["undecided"] == "false"
    assert acted.outputs["headline"] == "Regression (threshold 2 %): 1 slower"
    found = json.loads(Path(acted.outputs["json"]).read_text())
    Draft202012Validator(SCHEMA).validate(found)
    assert found.keys() <= SCHEMA["properties"].keys()
    assert "\n::error title=gr-bench%3A slower by at least 2 %25::" in acted.log
    assert acted.summary.startswith("### ❌ Regression (threshold 2 %): 1 slower\n")
    assert runner.written.startswith(f"{MARKER}\n{acted.summary}")


SHOP = """
def prepare():
    return lambda: sum(range({size}))
"""


@pytest.mark.slow
@needs_jq
def test_a_pull_request_to_a_small_repository_from_end_to_end(runner: Runner) -> None:
    """Its second commit adds up ten times as many numbers."""
    program(runner.programs, "gr-bench", REAL)
    origin = new_origin(runner)
    for size in (1_000, 10_000):
        (origin / "shop.py").write_text(SHOP.format(size=size))
        git(origin, "add", "--all")
        git(origin, "commit", "--quiet", "--message", f"{size} numbers")
    head, base = git(origin, "rev-list", "HEAD").split()
    git(origin, "branch", "--quiet", "pull")
    git(origin, "reset", "--quiet", "--hard", base)
    check_out(runner, head)
    runner.pull_request(base={"ref": "main"}, head={"sha": head})
    runner.comments([])
    acted = runner.act({"base": "", "call": "total=shop:prepare", "budget": "1m"})
    assert acted.code == 1, acted.log
    assert acted.outputs["regression"] == "true"
    found = json.loads(Path(acted.outputs["json"]).read_text())
    Draft202012Validator(SCHEMA).validate(found)
    assert found.keys() <= SCHEMA["properties"].keys()
    shown = runner.written.partition("<details>")[0]
    assert "| **slower by at least 2 %** | +" in shown
    assert "| `total` |" in shown
    assert f"`gr-bench bisect {base[:10]} {head[:10]}`" in shown
