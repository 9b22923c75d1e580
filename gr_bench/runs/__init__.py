"""One execution of a suite: reading it, measuring it, keeping what was measured."""
