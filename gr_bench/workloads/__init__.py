"""Workloads that methods are compared on: models, datasets and the loss that joins them."""
