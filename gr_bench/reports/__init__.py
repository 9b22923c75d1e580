"""A run's tables and figures on one page."""
