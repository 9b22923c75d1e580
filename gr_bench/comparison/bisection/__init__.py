"""The commit between two revisions that made something slower or larger."""
