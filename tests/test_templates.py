"""The GitLab template and the script for anywhere else, in bash; another plays gr-bench."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest
import yaml
from composite import program

ROOT = Path(__file__).parent.parent
JOB = yaml.safe_load((ROOT / "templates/gitlab-ci.yml").read_text())["gr-bench"]
PLAYED = """
import json, os, sys
with open("asked.json", "w") as file:
    json.dump(sys.argv[1:], file)
code = int(os.environ["EXIT_CODE"])
if code != 2:
    with open("comparison.md", "w") as file:
        file.write("### The verdict\\n")
sys.exit(code)
"""
PIP = """
import os, sys
if sys.argv[1:3] != ["-m", "pip"]:
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder with programs of our own for the shell to find."""
    (tmp_path / "programs").mkdir()
    program(tmp_path / "programs", "gr-bench", PLAYED)
    program(tmp_path / "programs", "python", PIP)
    return tmp_path


def bash(script: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(folder / "programs"), os.environ["PATH"]])
    return subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": path, "EXIT_CODE": "0", **variables},
        capture_output=True,
        text=True,
    )


def asked(folder: Path) -> list[str]:
    return list(json.loads((folder / "asked.json").read_text()))


# --- GitLab

VARIABLES = {
    **JOB["variables"],
    "CI_MERGE_REQUEST_DIFF_BASE_SHA": "base0",
    "CI_COMMIT_SHA": "merge0",
    "CI_PROJECT_ID": "3",
    "CI_MERGE_REQUEST_IID": "5",
    "CI_JOB_NAME": "gr-bench",
    "CI_JOB_URL": "https://gitlab.com/owner/shop/-/jobs/7",
}


def test_the_job_compares_with_where_the_branch_parted(shop: Path) -> None:
    script = "\n".join(JOB["script"])
    variables = {**VARIABLES, "GR_BENCH_OPTIONS": "--call shop:total --budget 5m"}
    assert bash(script, shop, **variables, EXIT_CODE="1").returncode == 1
    assert asked(shop) == [
        *("compare", "--call", "shop:total", "--budget", "5m"),
        *("--json", "comparison.json", "--markdown", "comparison.md", "git:base0", "git:merge0"),
    ]


def test_of_a_merged_result_the_branchs_own_commit_is_compared(shop: Path) -> None:
    bash("\n".join(JOB["script"]), shop, **VARIABLES, CI_MERGE_REQUEST_SOURCE_BRANCH_SHA="head0")
    assert asked(shop)[-2:] == ["git:base0", "git:head0"]


class GitLab(BaseHTTPRequestHandler):
    """As much of GitLab's interface as there is to notes; token ``secret`` is user 9's."""

    url: str
    notes: list[dict[str, Any]]
    done: list[tuple[str, str]]

    def do_GET(self) -> None:
        url = urlparse(self.path)
        if url.path == "/api/v4/user":
            self._answer({"id": 9})
            return
        assert url.path == "/api/v4/projects/3/merge_requests/5/notes"
        query = parse_qs(url.query)
        size, page = int(query["per_page"][0]), int(query["page"][0])
        self._answer(self.notes[size * (page - 1) : size * page])

    def do_POST(self) -> None:
        self._write()

    def do_PUT(self) -> None:
        self._write()

    def _write(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["body"]
        type(self).done.append((f"{self.command} {self.path}", body))
        self._answer({})

    def _answer(self, value: Any) -> None:
        self.send_response(200 if self.headers["PRIVATE-TOKEN"] == "secret" else 401)
        self.end_headers()
        self.wfile.write(json.dumps(value).encode())

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def gitlab() -> Iterator[type[GitLab]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), GitLab)
    GitLab.notes, GitLab.done = [], []
    GitLab.url = f"http://127.0.0.1:{server.server_port}/api/v4"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield GitLab
    server.shutdown()
    server.server_close()


NOTES = "/api/v4/projects/3/merge_requests/5/notes"
MARKER = "<!-- gr-bench: gr-bench -->"


def after(shop: Path, gitlab: type[GitLab], **variables: str) -> None:
    script = "\n".join(JOB["after_script"])
    ended = bash(script, shop, **VARIABLES, CI_API_V4_URL=gitlab.url, **variables)
    assert ended.returncode == 0, ended.stderr


def test_the_first_job_writes_a_note(shop: Path, gitlab: type[GitLab]) -> None:
    (shop / "comparison.md").write_text("### The verdict\n")
    after(shop, gitlab, GR_BENCH_TOKEN="secret")
    note = f"{MARKER}\n### The verdict\n\n[log](https://gitlab.com/owner/shop/-/jobs/7)\n"
    assert gitlab.done == [(f"POST {NOTES}", note)]


def test_the_second_job_brings_it_up_to_date(shop: Path, gitlab: type[GitLab]) -> None:
    """Its own, though a stranger's has the same mark and there are more than a page."""
    other = {"id": 1, "author": {"id": 2}, "body": MARKER}
    gitlab.notes = [other] * 150 + [{"id": 4, "author": {"id": 9}, "body": f"{MARKER}\nold"}]
    after(shop, gitlab, GR_BENCH_TOKEN="secret")
    ((request, body),) = gitlab.done
    assert request == f"PUT {NOTES}/4"
    assert "Nothing was compared" in body


def test_without_a_token_there_is_no_note(shop: Path, gitlab: type[GitLab]) -> None:
    after(shop, gitlab)
    assert gitlab.done == []


# --- anywhere else


def test_the_script_for_anywhere_else_ends_with_the_commands_code(shop: Path) -> None:
    page = (ROOT / "docs/ci.md").read_text().partition("## Anywhere else")[2]
    (script, *_) = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    program(shop / "programs", "git", 'print("base0")')
    for code in (0, 1, 3):
        ended = bash(script, shop, EXIT_CODE=str(code))
        assert ended.returncode == code, ended.stderr
        assert ended.stdout == "### The verdict\n"
    assert asked(shop)[:3] == ["compare", "git:base0", "git:HEAD"]
