"""Topologies, their routes, and networks that cannot be."""
