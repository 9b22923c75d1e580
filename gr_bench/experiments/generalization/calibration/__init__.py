"""Studies in which nothing differs, and what they find."""
