"""Training methods asked for what they promise: a rule a question, a verdict a line.

The rules stand in files by what they are about; :mod:`gr_bench.checks.rules` lists them all. They
are asked in a process of its own (:mod:`gr_bench.checks.worker`), so that a method that hangs or
takes its process down is a finding like any other.
"""
