"""Claims of the papers that came after, a file a paper."""

from __future__ import annotations

from gr_bench.claims.base import Claim
from gr_bench.claims.papers.andriushchenko import ANDRIUSHCHENKO
from gr_bench.claims.papers.barrett import BARRETT
from gr_bench.claims.papers.dauphin import DAUPHIN
from gr_bench.claims.papers.friendly import FRIENDLY
from gr_bench.claims.papers.smith import SMITH
from gr_bench.claims.papers.zhao import ZHAO
from gr_bench.claims.papers.zhou import ZHOU

__all__ = ["PAPERS"]

PAPERS: tuple[Claim, ...] = (
    *BARRETT,
    *SMITH,
    *DAUPHIN,
    *ZHAO,
    *ZHOU,
    *ANDRIUSHCHENKO,
    *FRIENDLY,
)
"""In the order of the page."""
