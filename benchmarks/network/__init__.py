"""Interconnect and parallelism beside hand arithmetic: `make bench-network`."""
