"""Implicit bias: the solution that a method picks on the diagonal linear network."""
