"""Caches in blocks and the sequences of a step over them: what attention over keys and values and
attention over latents share, in Python and in C++.
"""
