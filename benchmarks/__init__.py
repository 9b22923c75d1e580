"""asv's suite, pytest-benchmark's, and measurements of what gr-bench's numbers are worth."""
