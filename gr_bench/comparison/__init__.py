"""Two revisions of the code, or two stored runs, against each other."""
