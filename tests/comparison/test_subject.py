"""Cells as they are sent to a process that steps another revision."""

from __future__ import annotations

import pytest
from synthetic import cost

from gr_bench.comparison.subject import portable_cell


@pytest.mark.parametrize(
    ("method", "sent"),
    [
        ("sam", "sam"),
        ("sam(rho=1)", "sam(rho=1)"),
        ("late(every(sam))", "late(every(sam))"),
        ("late(sam(rho=1))", "late(sam(rho=1), share=0.2)"),
        ("late(sam, share=1)", "late(sam(rho=0.05), share=1)"),
    ],
)
def test_a_method_with_the_parameters_that_it_has_by_default_goes_by_its_name(
    method: str, sent: str
) -> None:
    assert portable_cell(cost(method))["spec"] == sent
