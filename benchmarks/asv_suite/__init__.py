"""What asv finds and measures: nothing here imports more than gr-bench does."""
