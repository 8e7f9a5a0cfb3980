"""One table of a network's links for processes that share a segment: a list of what left when, and
each process goes through it by itself.
"""
