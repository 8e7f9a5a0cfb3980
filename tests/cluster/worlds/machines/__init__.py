"""Nodes of a cluster on many machines."""
