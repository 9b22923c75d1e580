"""The verdicts of ``gr-bench compare git:`` on commits whose effect is known.

    python -m benchmarks.revisions OUT [--slow 10] [--same 20] [--hidden 2] [--budget 2m]

In a temporary clone of this repository, three commits are made on its head, and each is compared
with it again and again, every other time with a busy loop on another core:

- *slow*: F-GR's step copies the parameters seven times more, one after the other: about 3 % of the
  4x512 MLP's step at batch 128, and not a byte more at its peak;
- *same*: a comment;
- *hidden*: F-GR keeps a copy of the parameters that it does not need.

Whatever has been measured is in ``OUT/revisions.json`` after every comparison.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
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
from gr_bench.errors import RequestError

ROOT = Path(__file__).parents[1]
METHODS = "gr_bench/methods/two_point.py"
MLP, F_GR = "mlp(depth=4, width=512)", "f-gr(gamma=0.1, epsilon=0.05)"

PLACE = "    sign: ClassVar[int] = 1\n"
"""Of :class:`gr_bench.methods.ForwardGR`, where the commits add a method."""

SLOW = """
    def perturbed(self, params: list[Tensor]) -> list[Tensor]:
        for p in 7 * params:
            p.clone()
        return super().perturbed(params)
"""
HIDDEN = """
    def perturbed(self, params: list[Tensor]) -> list[Tensor]:
        if "_kept" not in self.__dict__:
            object.__setattr__(self, "_kept", [p.clone() for p in params])
        return super().perturbed(params)
"""
COMMENT = "\n    # γ is the strength of the penalty.\n"
COMMITS = {"slow": SLOW, "same": COMMENT, "hidden": HIDDEN}


def git(clone: Path, *arguments: str) -> str:
    who = ("-c", "user.name=gr-bench", "-c", "user.email=gr-bench")
    command = ["git", "-C", str(clone), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def commit(clone: Path, name: str, addition: str) -> None:
    """A branch ``name`` on the clone's head, with F-GR changed."""
    git(clone, "checkout", "--quiet", "-B", name, "start")
    file = clone / METHODS
    before, place, after = file.read_text().partition(PLACE)
    assert place, f"{METHODS} is not as it was"
    file.write_text(before + place + addition + after)
    git(clone, "commit", "--quiet", "--all", "--message", name)


@contextmanager
def clone_with_commits() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="gr-bench-revisions-") as home:
        clone = Path(home, "clone")
        git(ROOT, "clone", "--quiet", "--shared", str(ROOT), str(clone))
        git(clone, "branch", "start")
        for name, addition in COMMITS.items():
            commit(clone, name, addition)
        yield clone


def _spin(core: int) -> None:
    os.sched_setaffinity(0, {core})
    while True:
        pass


@contextmanager
def busy_loop(wanted: bool) -> Iterator[None]:
    """A process that spins on the first core; what is timed has the last one."""
    cores = sorted(os.sched_getaffinity(0))
    if not wanted or len(cores) < 2:
        yield
        return
    process = multiprocessing.Process(target=_spin, args=(cores[0],), daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def compare(clone: Path, name: str, budget: str, out: Path, number: int) -> dict[str, Any]:
    """One comparison, and what it said."""
    busy = number % 2 == 1
    file = out / f"{name}-{number}.json"
    begin = time.monotonic()
    with busy_loop(busy), chdir(clone):
        try:
            said = gr_bench.compare("git:start", f"git:{name}", budget=budget, json_file=file)
        except RequestError as error:
            return {"busy": busy, "took_s": time.monotonic() - begin, "error": str(error)}
    took_s = time.monotonic() - begin
    (own,) = (f for f in said.findings if (f.cell.model, f.cell.spec) == (MLP, F_GR))
    return {
        "busy": busy,
        "took_s": took_s,
        "regressed": said.regressed,
        "verdict": own.verdict,
        "ratio": own.ratio,
        "spread": own.spread,
        "peak_bytes": [[c.base, c.head] for c in own.changes if c.counter == "peak_bytes"],
        "verdicts": Counter(finding.verdict for finding in said.findings),
        "pairs": len(json.loads(file.read_text())["measured"]["pairs"]),
        "how": said.how,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("out", type=Path)
    parser.add_argument("--slow", type=int, default=10)
    parser.add_argument("--same", type=int, default=20)
    parser.add_argument("--hidden", type=int, default=2)
    parser.add_argument("--budget", default="2m")
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in COMMITS}
    with clone_with_commits() as clone:
        for name in COMMITS:
            for number in range(getattr(arguments, name)):
                found[name].append(compare(clone, name, arguments.budget, out, number))
                print(name, json.dumps(found[name][-1]), flush=True)
                write_answers(out / "revisions.json", found)


if __name__ == "__main__":
    main()
