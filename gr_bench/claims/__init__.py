"""Papers' claims and users' questions, each with a rule that answers it from a run's records."""

from __future__ import annotations

from gr_bench.claims.base import Case, Claim, Evidence
from gr_bench.claims.bias import BIAS
from gr_bench.claims.cost import COST
from gr_bench.claims.generalization import GENERALIZATION
from gr_bench.claims.papers import PAPERS
from gr_bench.claims.questions import QUESTIONS
from gr_bench.claims.relations import RELATIONS
from gr_bench.claims.scope import Scope, Setting
from gr_bench.claims.verdict import Judged, judge

__all__ = ["CLAIMS", "Case", "Claim", "Evidence", "Judged", "Scope", "Setting", "judge"]

CLAIMS: tuple[Claim, ...] = (*COST, *GENERALIZATION, *BIAS, *RELATIONS, *PAPERS, *QUESTIONS)
"""In the order of the page."""
