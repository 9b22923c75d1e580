"""Histories: step cost over stored runs, with the changes that are more than noise."""
