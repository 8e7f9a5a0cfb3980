"""Models whose hidden states are 64-bit digests: any size, no weights, true messages."""
