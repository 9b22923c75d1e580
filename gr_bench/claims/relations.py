"""Claims about what F-GR and B-GR have to do with SAM and with flooding."""

from __future__ import annotations

from gr_bench.claims.base import Case, Claim, Evidence, exactly, measured_by

SAME = 1e-6
"""Relative difference of two results that rounding explains."""

APART = 1e-2
"""Relative difference that it does not."""

BIAS_KEYS = ["dataset", "alpha", "step", "seed"]
# the same trainer, since a fleet's rounding is another than the loop's, and training multiplies it
TRAINING_KEYS = [
    "trainer",
    "runs_together",
    "model",
    "dataset",
    "batch_size",
    "epochs",
    "learning_rate",
    "label_noise",
    "seed",
]


def _sam(evidence: Evidence) -> list[Case]:
    """Unnormalised SAM and F-GR of equal numbers, result by result."""
    cases = []
    for name, keys, column in (
        ("implicit_bias", BIAS_KEYS, "test_error"),
        ("generalization", TRAINING_KEYS, "test_loss"),
    ):
        table = evidence.tables.get(name)
        if table is None or not len(table):
            continue
        done = table[table["status"] == "ok"]
        sam = done[done["method"] == "unnormalized-sam"]
        equal = done[(done["method"] == "f-gr") & (done["gamma"] == done["epsilon"])]
        both = sam.merge(equal, on=keys, suffixes=("", "_gr"))
        both = both[both["rho"].astype(float) == both["gamma_gr"].astype(float)]
        for (dataset, rho), group in both.groupby(["dataset", "rho"], sort=False):
            apart = (group[column] - group[f"{column}_gr"]).abs() / group[column].abs()
            where = f"{name.replace('_', ' ')} on {dataset}, ρ = γ = ε = {rho:g}"
            worst = float(apart.max())
            cases.append(Case(where, exactly(worst), worst < SAME, f"{len(group)} pairs"))
    return cases


def _flooding(evidence: Evidence) -> list[Case]:
    table = evidence.tables.get("flooding")
    if table is None or not len(table):
        return []
    done = table[(table["status"] == "ok") & (table["dtype"] == "float64")]
    cases = []
    for (model, dataset, spec, fresh), group in done.groupby(
        ["model", "dataset", "spec", "fresh"], sort=False
    ):
        batches = "fresh mini-batches" if fresh else "the same mini-batch"
        orders = group[["descent_ascent", "ascent_descent"]].sum()
        worst, typical = group["largest_difference"].max(), group["median_difference"].median()
        holds: bool | None = None
        if orders.min() > 0 and worst < SAME:
            holds = True
        elif orders.min() == 0 or typical > APART:
            holds = False
        note = (
            f"{orders['descent_ascent']:.0f} pairs as B-GR, {orders['ascent_descent']:.0f} as "
            f"F-GR; median difference {typical:.1e}"
        )
        where = f"consecutive steps on {batches} ({model}, {dataset}, {spec})"
        cases.append(Case(where, exactly(float(worst)), holds, note))
    return cases


RELATIONS = (
    Claim(
        "sam-is-forward",
        "SAM is F-GR with γ = ε: exactly so without SAM's normalisation, which makes them ρ/‖∇L‖.",
        "on the relation to other methods",
        measured_by("implicit_bias", "claims-bias"),
        "largest relative difference of results",
        "{:.1e}",
        "Unnormalised SAM and F-GR with γ = ε = ρ are compared on the same problem, or training "
        "and seed. They hold if the largest relative difference of the test error or loss is "
        f"below {SAME:g}, and do not otherwise.",
        _sam,
    ),
    Claim(
        "flooding-is-gr",
        "Flooding performs finite-difference GR: near its level, it takes descent and ascent "
        "steps in turn, and two of them are a step of B-GR or F-GR with ε = η.",
        "on the relation to other methods",
        measured_by("flooding /", "claims-flooding"),
        "largest relative difference of a pair from the explicit step",
        "{:.1e}",
        "Trainings in float64 hold if both orders occur and every pair of opposite steps leads "
        f"to where the explicit step does, to {SAME:g} of its length; they do not if an order "
        f"does not occur or the median difference is above {APART:g}.",
        _flooding,
    ),
)
