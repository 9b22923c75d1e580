"""The time of a step: one builder of steps, one clock, one way to sample and to replicate.

The imports in here are relative, so that a comparison can load this package, and the meters below
it, under another name into a process whose ``gr_bench`` is an older revision.
"""
