"""Bisections with known answers: the commit that did it, or none where none did.

    python -m benchmarks.bisections OUT [--places 5] [--clean 5] [--commits 64] [--plain]

Every time a temporary repository is made whose step trains a small network with PyTorch, about
5 ms long, or, with ``--plain``, is some milliseconds of plain Python, which starts ten times as
fast. Each commit changes a comment. In one of them, at a random place, the work grows by about 3 %,
with no FLOP and no byte at the peak more: sines of the batch that nobody needs, or one part more
than 32. In clean repositories none does.

Whatever has been found is in ``OUT/bisections.json`` after every search, and all that was measured
beside it.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.answers import write_answers

STEP = '''"""Note {number}."""

import torch
from torch import nn


def prepare():
    model = nn.Sequential(
        nn.Linear(256, 640), nn.ReLU(), nn.Linear(640, 640), nn.ReLU(), nn.Linear(640, 10)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    images, labels = torch.randn(160, 256), torch.randint(10, (160,))

    def step():
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        for _ in range({sines}):
            images.sin()
        optimizer.step()
        return loss

    return step
'''
SINES = 4
"""About 3 % of the step."""

PLAIN = '''"""Note {number}."""


def step():
    return [sum(i * i for i in range(400)) for _ in range(32 + ({sines} > 0))]


def prepare():
    return step
'''
"""The step of plain Python."""


def git(repository: Path, *arguments: str) -> str:
    who = ("-c", "user.name=gr-bench", "-c", "user.email=gr-bench", "-c", "commit.gpgsign=false")
    command = ["git", "-C", str(repository), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@contextmanager
def history(commits: int, culprit: int | None, step: str = STEP) -> Iterator[Path]:
    """A repository with so many commits after the first, each with its number as a tag."""
    with tempfile.TemporaryDirectory(prefix="gr-bench-bisections-") as home:
        repository = Path(home, "repository")
        git(Path(home), "init", "--quiet", str(repository))
        for number in range(commits + 1):
            sines = 0 if culprit is None or number < culprit else SINES
            (repository / "bench.py").write_text(step.format(number=number, sines=sines))
            git(repository, "add", "bench.py")
            git(repository, "commit", "--quiet", "--message", f"Note {number}")
            git(repository, "tag", str(number))
        yield repository


def search(commits: int, culprit: int | None, budget: str, file: Path, step: str) -> dict[str, Any]:
    """One search, and what came of it; all that was measured is in the file."""
    file.unlink(missing_ok=True)
    with history(commits, culprit, step) as repository:
        begin = time.monotonic()
        ended = subprocess.run(
            [
                *(sys.executable, "-m", "gr_bench", "bisect", "0", str(commits)),
                *("--call", "bench.py:prepare", "--budget", budget, "--json", str(file)),
            ],
            cwd=repository,
            capture_output=True,
            text=True,
        )
        minutes = (time.monotonic() - begin) / 60
    found: dict[str, Any] = {"culprit": culprit, "code": ended.returncode, "minutes": minutes}
    if ended.returncode not in (0, 3):
        return found | {"error": ended.stderr.splitlines()[-1:]}
    about = json.loads(file.read_text())
    named = about["culprit"]
    steps = about["measured"]["steps"].values()
    compared = [steps_of for steps_of in (*steps, about["measured"].get("alone")) if steps_of]
    return found | {
        "outcome": about["outcome"],
        "named": int(named["subject"].split()[-1]) if named else None,
        "candidates": len(about["candidates"] or ()),
        "comparisons": 1 + len(compared),
        "pairs": [len(each["pairs"]) for each in (about["measured"]["whole"], *compared)],
        "whole": about["whole"]["findings"][0]["ratio"],
        "alone": about["alone"]["findings"][0]["ratio"] if about["alone"] else None,
        "said": ended.stdout.splitlines(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("out", type=Path)
    parser.add_argument("--places", type=int, default=5)
    parser.add_argument("--clean", type=int, default=5)
    parser.add_argument("--commits", type=int, default=64)
    parser.add_argument("--budget", default="15m")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plain", action="store_true")
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    places = random.Random(arguments.seed)
    culprits: list[int | None] = [
        *(places.randint(1, arguments.commits) for _ in range(arguments.places)),
        *([None] * arguments.clean),
    ]
    found = []
    for number, culprit in enumerate(culprits):
        file = out / f"bisection-{number}.json"
        step = PLAIN if arguments.plain else STEP
        found.append(search(arguments.commits, culprit, arguments.budget, file, step))
        print(json.dumps(found[-1]), flush=True)
        write_answers(out / "bisections.json", {"searches": found})


if __name__ == "__main__":
    main()
