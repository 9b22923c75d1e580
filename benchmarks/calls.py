"""Comparisons of calls with known answers, and the time that they take.

    python -m benchmarks.calls OUT [--unchanged 200] [--planted 24] [--training-every 6]

In a temporary repository that does not know gr-bench there are two steps: one of plain Python,
about a millisecond long, and one that trains a small network with PyTorch on 32 micro-batches. Two
commits follow: *unchanged*, a comment, and *planted*, one micro-batch or part more (3.1 %). Each is
compared with its parent again and again, *unchanged* every third time beside a busy loop. Every
sixth comparison, or as often as is said, steps the training; it takes ten times as long.

Whatever has been measured is in ``OUT/calls.json`` after every comparison.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

import gr_bench
from benchmarks.answers import write_answers
from benchmarks.beside import beside

PARTS = 32
PYTHON = f"""
PARTS = {PARTS}

def step():
    return [sum(i * i for i in range(400)) for _ in range(PARTS)]

def prepare():
    return step
"""
TORCH = f"""
import torch
from torch import nn

PARTS = {PARTS}

def prepare():
    model = nn.Sequential(*[nn.Linear(64, 64), nn.ReLU()] * 3, nn.Linear(64, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0, momentum=0.9)
    x, y = torch.randn(PARTS, 64, 64), torch.randint(10, (PARTS, 64))

    def step():
        optimizer.zero_grad()
        for part in range(PARTS):
            nn.functional.cross_entropy(model(x[part]), y[part]).backward()
        optimizer.step()

    return step
"""
FILES = {"plain.py": PYTHON, "training.py": TORCH}
COMMITS = {"unchanged": "# The number of parts.\nPARTS = 32", "planted": "PARTS = 33"}
"""By commit, what it writes in the place of ``PARTS = 32``."""


def git(root: Path, *arguments: str) -> str:
    who = ("-c", "user.name=gr-bench", "-c", "user.email=gr-bench")
    command = ["git", "-C", str(root), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@contextmanager
def repository() -> Iterator[Path]:
    """A repository with the commits as tags, each a child of ``start``."""
    with tempfile.TemporaryDirectory(prefix="gr-bench-calls-") as home:
        root = Path(home)
        git(root, "init", "--quiet")
        _commit(root, "start", FILES)
        for name, new in COMMITS.items():
            git(root, "checkout", "--quiet", "start")
            _commit(root, name, {f: text.replace("PARTS = 32", new) for f, text in FILES.items()})
        yield root


def _commit(root: Path, name: str, files: dict[str, str]) -> None:
    for file, text in files.items():
        (root / file).write_text(text)
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", name)
    git(root, "tag", name)


def compare(root: Path, name: str, file: str, budget: str, condition: str) -> dict[str, Any]:
    """One comparison, and what it said."""
    begin = time.monotonic()
    with beside(condition), chdir(root):
        said = gr_bench.compare(
            "git:start", f"git:{name}", calls=[f"{file}:prepare"], budget=budget
        )
    (found,) = said.findings
    return {
        "condition": condition,
        "step": file,
        "took_s": time.monotonic() - begin,
        "verdict": found.verdict,
        "unconfirmed": found.unconfirmed,
        "ratio": found.ratio,
        "spread": found.spread,
        "pairs": found.pairs,
    }


def summary(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Verdicts, and times to an answer."""
    return {
        "comparisons": len(found),
        "verdicts": Counter(one["verdict"] for one in found),
        "alarms that fresh pairs did not confirm": sum(one["unconfirmed"] for one in found),
        "median_took_s": statistics.median(one["took_s"] for one in found),
        "longest_took_s": max(one["took_s"] for one in found),
        "median_took_s_by_step": {
            file: statistics.median(times)
            for file in FILES
            if (times := [one["took_s"] for one in found if one["step"] == file])
        },
        "median_pairs": statistics.median(one["pairs"] for one in found),
        "median_spread": statistics.median(one["spread"] for one in found if one["spread"]),
        "intervals_that_hold_1": sum(one["ratio"][1] <= 1 <= one["ratio"][2] for one in found),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("out", type=Path)
    parser.add_argument("--unchanged", type=int, default=200)
    parser.add_argument("--planted", type=int, default=24)
    parser.add_argument("--training-every", type=int, default=6)
    parser.add_argument("--budget", default="2m")
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in COMMITS}
    with repository() as root:
        for name in COMMITS:
            for number in range(getattr(arguments, name)):
                busy = name == "unchanged" and number % 3 == 2
                training = (number + 1) % arguments.training_every == 0
                file = "training.py" if training else "plain.py"
                condition = "busy loop" if busy else "quiet"
                found[name].append(compare(root, name, file, arguments.budget, condition))
                print(name, json.dumps(found[name][-1]), flush=True)
                kept = {
                    "budget": arguments.budget,
                    "summary": {key: summary(all_) for key, all_ in found.items() if all_},
                    "comparisons": found,
                }
                write_answers(out / "calls.json", kept)


if __name__ == "__main__":
    main()
