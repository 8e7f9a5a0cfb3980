"""Many machines: router, gateway, worlds, network, workload, faults, reports and the command
line.
"""

from cluster.own_packages import claim

claim()
