"""``python -m gr_bench`` is ``gr-bench``."""

from gr_bench.cli import main

main()
