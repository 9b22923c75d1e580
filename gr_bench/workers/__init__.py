"""Processes that measure: the protocol that they speak, and their programs."""
