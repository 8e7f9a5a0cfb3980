"""Experiments: a cluster without faults beside the same one with them, and a hypothesis about how
far apart they are.
"""
