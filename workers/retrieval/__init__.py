"""Retrieval: documents become passages, passages vectors, and memory servers scan their shards."""
