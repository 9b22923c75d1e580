"""A comparison for readers: on the terminal, on a pull request, and in a job's log on GitHub."""

from gr_bench.comparison.pages.annotations import publish
from gr_bench.comparison.pages.comment import markdown
from gr_bench.comparison.pages.terminal import show

__all__ = ["markdown", "publish", "show"]
