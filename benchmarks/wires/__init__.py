"""The wires side by side: round trips between processes, the native all-to-all, faulty links, and
waits that a second micro-batch hides.
"""
