"""Wires: memory, gRPC and UCX. A transport moves messages between nodes and reports a dead peer; it
does nothing else.
"""
