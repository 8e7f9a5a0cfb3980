"""Many machines: router, gateway, worlds, network, workload, faults, reports and the command
line.
"""
