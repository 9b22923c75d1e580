"""Trainings from start to end: one by one, or many in step."""
