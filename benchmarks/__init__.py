"""Suites for asv and pytest-benchmark: thin readers over gr_bench."""
