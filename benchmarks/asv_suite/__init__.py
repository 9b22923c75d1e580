"""The suite that asv finds and measures: it imports no more than gr-bench does."""
