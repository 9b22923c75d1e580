"""Generalization: train, validation and test results over seeds, and their gaps."""
