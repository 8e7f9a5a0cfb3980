"""Time as a worker sees it: emulated nanoseconds that chain from due times, never from when code
happened to run.
"""
