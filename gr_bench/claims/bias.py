"""Claims about the implicit bias on diagonal linear networks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd
from scipy.stats import binomtest

from gr_bench import stats
from gr_bench.claims.base import (
    Answer,
    Case,
    Claim,
    Evidence,
    claim_words,
    exactly,
    measured_by,
    sized,
)
from gr_bench.claims.scope import Scope, Setting, setting_of
from gr_bench.experiments.implicit_bias.tables import LIMIT, with_signed_epsilon
from gr_bench.stats import Interval

LEAST_PROBLEMS = 6
"""With fewer, all of them going one way could be chance (two-sided sign test at 5 %)."""

BETTER = -0.01
"""The smallest relative difference of test errors that matters; the paper names none."""

SORT = ["dataset", "alpha", "gamma"]

DIAGONAL = Scope(
    "diagonal linear networks on sparse regression, under gradient flow",
    models=("diagonal-linear",),
)


def _settings(evidence: Evidence) -> dict[Any, Setting]:
    """By sort of problem, the setting of its cells."""
    cells = (record.cell for record in evidence.records)
    return {c.dataset: setting_of(c) for c in cells if c.experiment == "implicit_bias"}


def monotonicity_cases(direction: str, evidence: Evidence) -> list[Case]:
    """The share of problems whose α̃ goes the right way at every step between neighbouring ε."""
    orders = evidence.tables.get("implicit_bias_order", pd.DataFrame(columns=[*SORT, direction]))
    cases, settings = [], _settings(evidence)
    for (dataset, alpha, gamma), group in orders.groupby(SORT, sort=False):
        known = group[direction].dropna().astype(bool)
        if not len(known):
            continue
        right, count = int(known.sum()), len(known)
        share = binomtest(right, count).proportion_ci()
        answer: Answer = "contradicted"
        if right == count:
            answer = "holds" if count >= LEAST_PROBLEMS else "open"
        where = f"{dataset}, α {alpha:g}, γ {gamma:g}"
        value = Interval(right / count, share.low, share.high)
        cases.append(Case(where, value, answer, settings[dataset], f"{right} of {count} problems"))
    return cases


def _theory(evidence: Evidence) -> list[Case]:
    table = evidence.tables.get("implicit_bias")
    if table is None:
        return []
    cases, settings = [], _settings(evidence)
    penalised = table[table["gamma"].notna() & (table["status"] == "ok")]
    for (dataset, spec), group in penalised.groupby(["dataset", "spec"], sort=False):
        worst = group[["beta_error", "discretisation_error"]].max()
        answer: Answer = "holds" if (worst < LIMIT).all() else "contradicted"
        note = f"α̃ within {worst['discretisation_error']:.1e}, {len(group)} problems"
        value = exactly(worst["beta_error"])
        cases.append(Case(f"{spec}, {dataset}", value, answer, settings[dataset], note))
    return cases


def _test_error(evidence: Evidence) -> list[Case]:
    """Test error of F-GR at its largest ε minus DB-GR's, paired by problem, over DB-GR's mean."""
    table = evidence.tables.get("implicit_bias")
    if table is None or not len(table):
        return []
    family = with_signed_epsilon(table[table["status"] == "ok"])
    cases, settings = [], _settings(evidence)
    for (dataset, alpha, gamma), group in family.groupby(SORT, sort=False):
        largest, limit = group["signed_epsilon"].max(), group[group["signed_epsilon"] == 0]
        forward = group[group["signed_epsilon"] == largest]
        both = forward.merge(limit, on="seed", suffixes=("", "_limit"))
        apart = both["test_error"] - both["test_error_limit"]
        scale = both["test_error_limit"].mean()
        if largest > 0 and len(apart) and scale > 0:
            value = stats.t_interval(apart / scale)
            where = f"{dataset}, α {alpha:g}, γ {gamma:g}, ε {largest:g}"
            cases.append(Case(where, value, sized(value, BETTER, 0), settings[dataset]))
    return cases


COMMAND = measured_by("implicit_bias", "claims-bias")


def _claim(name: str, words: str, rule: str, direction: str) -> Claim:
    cases: Callable[[Evidence], list[Case]] = partial(monotonicity_cases, direction)
    return Claim(
        name=name,
        words=words,
        where="on diagonal linear networks",
        scope=DIAGONAL,
        size="The paper gives no size; in theory the order is strict, so every step counts, "
        "however small: α̃ is computed, not sampled.",
        command=COMMAND,
        quantity="share of problems",
        number="{:.2f}",
        rule=f"{rule} at every step between neighbouring ε in every problem, with at least "
        f"{LEAST_PROBLEMS} problems. A single exception contradicts the claim.",
        cases=cases,
    )


BIAS = (
    Claim(
        name="solution-of-theory",
        words="Descent with GR converges to the interpolant of minimum potential φ_α̃, with α̃² "
        "= α²·exp(-2γ∫g⊙g⁺dt): the larger the integral, the closer to the rich regime.",
        where="on diagonal linear networks",
        scope=DIAGONAL,
        size=f"An equality; a relative difference of {LIMIT:g} is attributed to finite steps.",
        command=COMMAND,
        quantity="largest relative error of β",
        number="{:.1e}",
        rule="A method on a type of problem holds if in every problem ‖β - β̃‖/‖β̃‖ and the "
        f"relative error of α̃ against √(w₊w₋) are below {LIMIT:g}, and is contradicted "
        "otherwise.",
        cases=_theory,
    ),
    _claim(
        "forward-strengthens",
        "F-GR strengthens the bias towards the rich regime as its ascent step ε grows.",
        "A type of problem holds if the mean of α̃ falls",
        "forward",
    ),
    _claim(
        "backward-weakens",
        "B-GR weakens that bias as its step ε grows.",
        "A type of problem holds if the mean of α̃ rises",
        "backward",
    ),
    Claim(
        name="richer-is-better",
        words="The stronger bias of F-GR with a large ε gives a smaller test error than the exact "
        "penalty (DB-GR) on sparse problems.",
        where="on diagonal linear networks, its experiment",
        scope=DIAGONAL,
        size=(
            f"The paper's size cannot be determined here; {-100 * BETTER:g} % of DB-GR's test "
            "error counts."
        ),
        command=COMMAND,
        quantity="test error of F-GR minus DB-GR's, over DB-GR's",
        number="{:+.4f}",
        rule="F-GR at its largest ε is paired by problem with DB-GR at the same γ; the "
        "difference is divided by DB-GR's mean test error. A type of problem holds if the "
        f"95 % interval is at {BETTER:g} or below; the error is smaller by less than that "
        f"if the interval is above {BETTER:g} and below 0; the claim is contradicted if it "
        f"is above {BETTER:g} and not below 0.",
        cases=_test_error,
        answers=claim_words(f"smaller, but by under {-100 * BETTER:g} %", has_size=False),
    ),
)
