"""Bars of memories and what stands beside them: each file one part, with rows of its own."""
