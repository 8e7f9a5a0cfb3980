"""The router's events on its node's disk, and how a restarted router takes them up.

codec      events and state as bytes
records    bytes as checksummed records; what is damaged, and what is only torn
journal    group commit off the event loop, and compaction
recovery   from files to a state
"""
