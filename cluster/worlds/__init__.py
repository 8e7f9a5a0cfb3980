"""The same workers, router and protocol, run three ways: exact virtual time, processes here, a
Ray cluster.
"""
