"""Plans of suites: arithmetic, memory and time of every cell before anything runs."""
