"""Readings of a step: time, memory, arithmetic, curvature; and the devices they are read from."""
