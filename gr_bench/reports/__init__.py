"""A run's tables and figures on one page."""

from gr_bench.reports.page import write_report

__all__ = ["write_report"]
