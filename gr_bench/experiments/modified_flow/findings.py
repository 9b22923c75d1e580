"""The modified-flow results in words: one column of the overview, and a few sentences."""

from __future__ import annotations

import pandas as pd

from gr_bench.experiments import style


def headlines(slopes: pd.DataFrame) -> dict[str, dict[str, str]]:
    """``order off the modified flow``: the range over problems of the mean over seeds."""
    means = slopes.groupby(["model", "batches"])["modified_order"].mean().dropna()
    shown = {"sgd": style.value_range(means, "{:.2f}")} if len(means) else {}
    return {"order off the modified flow": shown}


def findings(slopes: pd.DataFrame, ended: pd.DataFrame) -> list[str]:
    """Orders by flow, the curvature that large steps end at, and what was lost."""
    found = []
    for batches, own in slopes.groupby("batches", sort=True):
        who = "a step of descent" if batches == 1 else f"an epoch of {batches} mini-batches"
        spans = {
            flow: f"{own[f'{flow}_order'].min():.2f} to {own[f'{flow}_order'].max():.2f}"
            for flow in ("plain", "modified")
        }
        found.append(
            f"The distance of {who} from the flow of the loss is of order {spans['plain']} in "
            f"the step size, and from the flow of the modified loss of order {spans['modified']} "
            f"(problems: {len(own)})."
        )
    done = ended[ended["status"] == "ok"]
    if len(done):
        flatter = int((done["large_curvature"] < done["small_curvature"]).sum())
        found.append(
            f"In {flatter} of {len(done)} paths the large step ended at a lower curvature than "
            "the small one."
        )
    if len(ended) > len(done):
        found.append(f"{len(ended) - len(done)} of {len(ended)} paths were lost.")
    return found
