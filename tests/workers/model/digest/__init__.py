"""Digest models against their definition, and against what may go wrong."""
