"""Chaos with an oracle: random scenarios, workloads and faults in the virtual world, and the six
laws as checkers outside the code that they watch.
"""
