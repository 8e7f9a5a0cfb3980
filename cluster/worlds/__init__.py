"""The same workers, router and protocol, run three ways: exact virtual time, one process on the
wall clock, a process a node on this machine.
"""
