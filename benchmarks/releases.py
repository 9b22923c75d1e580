"""Two releases of each of five packages that know nothing of gr-bench, compared by a step.

    python -m benchmarks.releases OUT [--budget 2m] [--only lion]

For each package two of its releases are installed, each into an environment of its own, and step in
alternation, by a function of at most fifteen lines in ``release_steps/``. What was found is in
``OUT/releases.json``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import gr_bench
from benchmarks.answers import write_answers
from gr_bench.comparison.compare import finite
from gr_bench.errors import RequestError

STEPS = Path(__file__).parent / "release_steps"

RELEASES = {
    "lion": ("lion-pytorch", "0.1.4", "0.2.5"),
    "sam": ("pytorch-optimizer", "3.8.0", "4.1.0"),
    "transformer": ("x-transformers", "2.0.0", "2.31.10"),
    "metric": ("torchmetrics", "1.4.2", "1.9.0"),
    "quantizer": ("vector-quantize-pytorch", "1.20.0", "1.32.0"),
}
"""By the file of its step: a package, an older release, and a newer one."""


def compare(name: str, budget: str) -> dict[str, Any]:
    """One package's releases, and what was found."""
    package, old, new = RELEASES[name]
    try:
        found = gr_bench.compare(
            f"pip:{package}=={old}",
            f"pip:{package}=={new}",
            calls={package: f"{STEPS / name}.py:prepare"},
            budget=budget,
        )
    except RequestError as error:
        return {"error": str(error)}
    (row,) = found.table.to_dict("records")
    lines = len((STEPS / f"{name}.py").read_text().splitlines())
    about = {"base": f"{package} {old}", "head": f"{package} {new}", "lines": lines}
    return about | {"headline": found.headline, **row, "how": found.how}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("out", type=Path)
    parser.add_argument("--budget", default="2m")
    parser.add_argument("--only", choices=RELEASES, nargs="+", default=list(RELEASES))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    found = {}
    for name in arguments.only:
        found[name] = compare(name, arguments.budget)
        print(name, json.dumps(found[name]), flush=True)
        write_answers(arguments.out / "releases.json", {"releases": finite(found)})


if __name__ == "__main__":
    main()
