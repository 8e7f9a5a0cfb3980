"""Trials, their laws and the search, by hand-worked expectations and by bugs planted on purpose."""
