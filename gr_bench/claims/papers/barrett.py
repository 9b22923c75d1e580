"""Claims of Barrett & Dherin on finite steps of gradient descent."""

from __future__ import annotations

from functools import partial

import pandas as pd

from gr_bench import stats
from gr_bench.claims.base import Answer, Case, Claim, Evidence, claim_words, sized
from gr_bench.claims.papers.contrasts import measured_by
from gr_bench.claims.scope import ANYWHERE, Scope, Setting
from gr_bench.experiments.modified_flow.cell import DATASET
from gr_bench.experiments.modified_flow.tables import log_ratio
from gr_bench.stats import Interval

SOURCE = "Barrett & Dherin, Implicit Gradient Regularization (ICLR 2021, arXiv 2009.11162)"

NEAR = 0.1
"""A deviation of a measured order that the steps' finite size explains."""

FLATTER = 0.99
"""The ratio of curvatures that counts as flatter."""

CLOSER = 0.5
"""The ratio of distances that counts as the same path."""

COMMAND = measured_by("modified_flow", "papers-flow")
LEAST_SEEDS = 3
"""Problems of a sort that an interval is made from."""


def flow_setting(model: str, note: str = "") -> Setting:
    """The setting of a problem."""
    return Setting(model, DATASET, "cpu", 1, note)


def near(value: Interval, order: float) -> Answer:
    """``holds`` if the whole interval is within :data:`NEAR` of ``order``, ``contradicted`` if it
    is wholly outside, else ``open``.
    """
    if value.low >= order - NEAR and value.high <= order + NEAR:
        return "holds"
    outside = value.high < order - NEAR or value.low > order + NEAR
    return "contradicted" if outside else "open"


def order_cases(flow: str, order: float, several: bool, evidence: Evidence) -> list[Case]:
    """The order of the distance from a flow, by problem, over seeds.

    Args:
        flow: ``plain``, ``modified`` or ``full``.
        order: that is claimed.
        several: True for epochs of several mini-batches, False for single steps.
        evidence: of a run.
    """
    table = evidence.tables.get("modified_flow_orders")
    if table is None or not len(table):
        return []
    cases = []
    for (name, count), own in table.groupby(["model", "batches"], sort=False):
        model, batches = str(name), int(str(count))
        slopes = own[f"{flow}_order"].dropna()
        if (batches > 1) != several or not len(slopes):
            continue
        value = stats.t_interval(slopes)
        answer = near(value, order) if len(slopes) >= LEAST_SEEDS else "open"
        where = f"{model}, {batches} mini-batches" if several else model
        cases.append(Case(where, value, answer, flow_setting(model), f"{len(slopes)} problems"))
    return cases


def _paths(evidence: Evidence) -> list[tuple[str, float, pd.DataFrame]]:
    """Every problem's paths at its largest step."""
    table = evidence.tables.get("modified_flow_paths")
    if table is None or not len(table):
        return []
    found = []
    for model, own in table.groupby("model", sort=False):
        step = own["step"].max()
        found.append((str(model), float(step), own[own["step"] == step]))
    return found


def _ratio_cases(above: str, below: str, claimed: float, evidence: Evidence) -> list[Case]:
    """A ratio of two columns of paths, by problem: its geometric mean over seeds."""
    cases = []
    for model, step, own in _paths(evidence):
        done = own[own["status"] == "ok"]
        logs = log_ratio(done[above], done[below])
        if not logs:
            continue
        value = stats.ratio_interval(logs)
        answer = sized(value, claimed, 1) if len(logs) >= LEAST_SEEDS else "open"
        lost = f"; {len(own) - len(done)} lost" if len(done) < len(own) else ""
        note = f"{len(logs)} problems{lost}"
        cases.append(Case(f"{model}, hλ = {step:g}", value, answer, flow_setting(model), note))
    return cases


def order_claim(
    name: str, words: str, *, flow: str, order: int, several: bool, where: str, source: str
) -> Claim:
    """A claim that the distance from a flow is of an order in the step."""
    steps = "epochs of several mini-batches" if several else "single steps of descent"
    return Claim(
        name=name,
        words=words,
        where=where,
        source=source,
        scope=ANYWHERE,
        size=f"Order {order} exactly, in the limit; {NEAR:g} is attributed to finite steps.",
        command=COMMAND,
        quantity=f"order of the distance from the {flow} flow",
        number="{:.3f}",
        rule=f"The slope of log ‖θ - θ_flow‖ against log h over {steps} in float64 is computed "
        "for every random problem. A type of problem holds if its 95 % interval over at "
        f"least {LEAST_SEEDS} problems is within {NEAR:g} of {order}, and is contradicted "
        "if it lies entirely outside.",
        cases=partial(order_cases, flow, order, several),
    )


BARRETT = (
    order_claim(
        "descent-follows-the-modified-flow",
        "A step of gradient descent follows the flow of L + (h/4)·‖∇L‖² to order h²: it ends at a "
        "distance of order h³ from it.",
        flow="modified",
        order=3,
        several=False,
        where="the theorem on backward error analysis (number not known)",
        source=SOURCE,
    ),
    order_claim(
        "descent-leaves-the-flow",
        "The distance of that step from the flow of the loss itself is of order h².",
        flow="plain",
        order=2,
        several=False,
        where="the theorem on backward error analysis (number not known)",
        source=SOURCE,
    ),
    Claim(
        name="large-steps-end-flatter",
        words=(
            "In the same time h·n, descent with a larger step ends in a flatter region of the loss."
        ),
        where="abstract; figure 1 for a model of two parameters",
        source=SOURCE,
        scope=Scope(
            "MLPs and ResNets trained on images; a model of two parameters (figure 1)",
            models=("mlp", "resnet*", "product"),
        ),
        size=f"Our choice, not the paper's: {1 - FLATTER:.0%} of the largest curvature counts.",
        command=COMMAND,
        quantity="largest curvature at the end, step h over step h/8",
        number="{:.4f}",
        rule="The largest eigenvalue of the Hessian at the end of descent with the largest step "
        "is divided by that with an eighth of the step, in the same time from the same "
        "start. A type of problem holds if the 95 % interval of the geometric mean is at "
        f"{FLATTER:g} or below; the end is flatter by less if the interval is above "
        f"{FLATTER:g} and below 1; the claim is contradicted if it is above {FLATTER:g} and "
        "not below 1.",
        cases=partial(_ratio_cases, "large_curvature", "small_curvature", FLATTER),
        answers=claim_words(f"flatter by under {1 - FLATTER:.0%}", has_size=False),
    ),
    Claim(
        name="explicit-penalty-acts-alike",
        words="An explicit gradient penalty at a small step has the effect of the large step.",
        where="abstract; figure 1 for a model of two parameters",
        source=SOURCE,
        scope=Scope(
            "MLPs and ResNets trained on images; a model of two parameters (figure 1)",
            models=("mlp", "resnet*", "product"),
        ),
        size=f"Our choice, not the paper's: {1 - CLOSER:.0%} of the distance counts.",
        command=COMMAND,
        quantity="distance from the large step's end, with the penalty over without",
        number="{:.3f}",
        rule="The end of descent with an eighth of the step is at some distance from that of "
        "the large step; with the penalty ((h - h/8)/4)·‖∇L‖² the distance is different. A "
        "type of problem holds if the 95 % interval of the ratio's geometric mean, at the "
        f"largest step, is at {CLOSER:g} or below; the end is closer by less if the "
        f"interval is above {CLOSER:g} and below 1; the claim is contradicted if it is "
        f"above {CLOSER:g} and not below 1.",
        cases=partial(_ratio_cases, "explicit_distance", "small_distance", CLOSER),
        answers=claim_words(f"closer by under {1 - CLOSER:.0%}", has_size=False),
    ),
)
