"""Flooding as gradient regularization: its steps near the level, pair by pair."""
