"""The paper's claims, each with a rule that says from a run's records whether it holds here."""

from __future__ import annotations

from gr_bench.claims.base import Case, Claim, Evidence, Judged, judge
from gr_bench.claims.bias import BIAS
from gr_bench.claims.cost import COST
from gr_bench.claims.generalization import GENERALIZATION
from gr_bench.claims.relations import RELATIONS

__all__ = ["CLAIMS", "Case", "Claim", "Evidence", "Judged", "judge"]

CLAIMS: tuple[Claim, ...] = (*COST, *GENERALIZATION, *BIAS, *RELATIONS)
"""In the order of the page."""
