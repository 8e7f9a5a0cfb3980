"""Where requests are turned into work: retrieval, placement on chips, streams of tokens, and the
cluster's state.
"""
