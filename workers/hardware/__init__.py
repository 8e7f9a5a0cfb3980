"""What a machine can do and how long it takes: declared work, resources that queue, and the
clockwork of `run`.
"""
