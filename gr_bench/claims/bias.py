"""Claims about the implicit bias on diagonal linear networks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pandas as pd
from scipy.stats import binomtest

from gr_bench import stats
from gr_bench.claims.base import Case, Claim, Evidence, above, exactly, measured_by
from gr_bench.experiments.implicit_bias.tables import LIMIT, with_signed_epsilon
from gr_bench.stats import Interval

LEAST_PROBLEMS = 6
"""With fewer, all of them going one way could be chance (two-sided sign test at 5 %)."""

SORT = ["dataset", "alpha", "gamma"]


def monotonicity_cases(direction: str, evidence: Evidence) -> list[Case]:
    """The share of problems whose α̃ goes the right way at every step between neighbouring ε."""
    orders = evidence.tables.get("implicit_bias_order", pd.DataFrame(columns=[*SORT, direction]))
    cases = []
    for (dataset, alpha, gamma), group in orders.groupby(SORT, sort=False):
        known = group[direction].dropna().astype(bool)
        if not len(known):
            continue
        right, count = int(known.sum()), len(known)
        share = binomtest(right, count).proportion_ci()
        holds = right == count if count >= LEAST_PROBLEMS or right < count else None
        where = f"{dataset}, α {alpha:g}, γ {gamma:g}"
        value = Interval(right / count, share.low, share.high)
        cases.append(Case(where, value, holds, f"{right} of {count} problems"))
    return cases


def _theory(evidence: Evidence) -> list[Case]:
    table = evidence.tables.get("implicit_bias")
    if table is None:
        return []
    cases = []
    penalised = table[table["gamma"].notna() & (table["status"] == "ok")]
    for (dataset, spec), group in penalised.groupby(["dataset", "spec"], sort=False):
        worst = group[["beta_error", "discretisation_error"]].max()
        holds = bool((worst < LIMIT).all())
        note = f"α̃ within {worst['discretisation_error']:.1e}, {len(group)} problems"
        cases.append(Case(f"{spec}, {dataset}", exactly(worst["beta_error"]), holds, note))
    return cases


def _test_error(evidence: Evidence) -> list[Case]:
    """Test error of F-GR at its largest ε minus DB-GR's, paired by problem."""
    table = evidence.tables.get("implicit_bias")
    if table is None or not len(table):
        return []
    family = with_signed_epsilon(table[table["status"] == "ok"])
    cases = []
    for (dataset, alpha, gamma), group in family.groupby(SORT, sort=False):
        largest, limit = group["signed_epsilon"].max(), group[group["signed_epsilon"] == 0]
        forward = group[group["signed_epsilon"] == largest]
        both = forward.merge(limit, on="seed", suffixes=("", "_limit"))
        apart = both["test_error"] - both["test_error_limit"]
        if largest > 0 and len(apart):
            value = stats.t_interval(apart)
            worse = above(value, 0)
            where = f"{dataset}, α {alpha:g}, γ {gamma:g}, ε {largest:g}"
            cases.append(Case(where, value, None if worse is None else not worse))
    return cases


COMMAND = measured_by("implicit_bias", "claims-bias")


def _claim(name: str, words: str, rule: str, direction: str) -> Claim:
    cases: Callable[[Evidence], list[Case]] = partial(monotonicity_cases, direction)
    return Claim(
        name,
        words,
        "on diagonal linear networks",
        COMMAND,
        "share of problems",
        "{:.2f}",
        f"{rule} at every step between neighbouring ε, in every problem; it takes at least "
        f"{LEAST_PROBLEMS} problems to hold. One problem that goes otherwise refutes it.",
        cases,
    )


BIAS = (
    Claim(
        "solution-of-theory",
        "Descent with GR ends at the interpolant of least potential φ_α̃, with "
        "α̃² = α²·exp(-2γ∫g⊙g⁺dt): nearer to the rich regime the larger the integral.",
        "on diagonal linear networks",
        COMMAND,
        "largest relative error of β",
        "{:.1e}",
        f"A method on a sort of problem holds if in every problem ‖β - β̃‖/‖β̃‖ and the "
        f"relative error "
        f"of α̃ against √(w₊w₋) are below {LIMIT:g}, and does not otherwise.",
        _theory,
    ),
    _claim(
        "forward-strengthens",
        "F-GR strengthens the bias to the rich regime as its ascent step ε grows.",
        "A sort of problem holds if the mean of α̃ falls",
        "forward",
    ),
    _claim(
        "backward-weakens",
        "B-GR weakens that bias as its step ε grows.",
        "A sort of problem holds if the mean of α̃ rises",
        "backward",
    ),
    Claim(
        "richer-is-better",
        "The stronger bias of F-GR with a large ε gives a smaller test error than the exact "
        "penalty (DB-GR) on sparse problems.",
        "on diagonal linear networks, its experiment",
        COMMAND,
        "test error of F-GR minus DB-GR's",
        "{:+.4f}",
        "F-GR at its largest ε is paired by problem with DB-GR at the same γ. A sort of problem "
        "holds if the 95 % interval of the difference is below 0, and does not if it is above.",
        _test_error,
    ),
)
