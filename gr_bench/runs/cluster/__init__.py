"""Measuring on a cluster: Ray places the units, and in each task the local executor runs them."""
