"""Claims about what F-GR and B-GR have to do with SAM and with flooding."""

from __future__ import annotations

from gr_bench.claims.base import Answer, Case, Claim, Evidence, exactly, measured_by
from gr_bench.claims.scope import ANYWHERE, Scope, setting_of

SAME = 1e-6
"""Relative difference of two results that rounding explains."""

APART = 1e-2
"""Relative difference that it does not."""

SAME_BATCH, FRESH_BATCHES = "the same mini-batch", "fresh mini-batches"

WITHIN_A_BATCH = Scope("two consecutive steps on the loss of the same samples", notes=(SAME_BATCH,))

BIAS_KEYS = ["model", "dataset", "batch_size", "device", "alpha", "step", "seed"]
# the same trainer, since a fleet's rounding is another than the loop's, and training multiplies it
TRAINING_KEYS = [
    "trainer",
    "runs_together",
    "model",
    "dataset",
    "batch_size",
    "device",
    "epochs",
    "learning_rate",
    "label_noise",
    "seed",
    "split_seed",
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
        for (model, dataset, rho), group in both.groupby(["model", "dataset", "rho"], sort=False):
            apart = (group[column] - group[f"{column}_gr"]).abs() / group[column].abs()
            where = f"{model} on {dataset}, ρ = γ = ε = {rho:g}"
            worst = float(apart.max())
            answer: Answer = "holds" if worst < SAME else "contradicted"
            setting, note = setting_of(group.iloc[0]), f"{len(group)} pairs"
            cases.append(Case(where, exactly(worst), answer, setting, note))
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
        batches = FRESH_BATCHES if fresh else SAME_BATCH
        orders = group[["descent_ascent", "ascent_descent"]].sum()
        worst, typical = group["largest_difference"].max(), group["median_difference"].median()
        answer: Answer = "open"
        if orders.min() > 0 and worst < SAME:
            answer = "holds"
        elif orders.min() == 0 or typical > APART:
            answer = "contradicted"
        note = (
            f"{orders['descent_ascent']:.0f} pairs as B-GR, {orders['ascent_descent']:.0f} as "
            f"F-GR; median difference {typical:.1e}"
        )
        where = f"consecutive steps on {batches} ({model}, {dataset}, {spec})"
        setting = setting_of(group.iloc[0], batches)
        cases.append(Case(where, exactly(float(worst)), answer, setting, note))
    return cases


RELATIONS = (
    Claim(
        name="sam-is-forward",
        words="SAM is F-GR with γ = ε: exactly without SAM's normalisation, which makes both "
        "ρ/‖∇L‖.",
        where="on the relation to other methods",
        scope=ANYWHERE,
        size=f"An equality; a relative difference of {SAME:g} is attributed to rounding.",
        command=measured_by("implicit_bias", "claims-bias"),
        quantity="largest relative difference of results",
        number="{:.1e}",
        rule="Unnormalised SAM and F-GR with γ = ε = ρ are compared on the same problem, or the "
        "same training and seed. The claim holds if the largest relative difference of the "
        f"test error or loss is below {SAME:g}, and the claim is contradicted otherwise.",
        cases=_sam,
    ),
    Claim(
        name="flooding-is-gr",
        words="Flooding performs finite-difference GR: near its level it alternates between "
        "descent and ascent steps, and two of them are a step of B-GR or F-GR with ε = η.",
        where="on the relation to other methods",
        scope=WITHIN_A_BATCH,
        size=f"An equality; a relative difference of {SAME:g} is attributed to rounding.",
        command=measured_by("flooding /", "claims-flooding"),
        quantity="largest relative difference of a pair from the explicit step",
        number="{:.1e}",
        rule="Trainings in float64 hold if both orders occur and every pair of opposite steps "
        f"ends at the point of the explicit step, within {SAME:g} of its length; the claim "
        "is contradicted if an order does not occur or the median difference is above "
        f"{APART:g}; otherwise it is open.",
        cases=_flooding,
    ),
)
