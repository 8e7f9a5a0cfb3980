"""Chips and expert shards that are alike, computed as one object with vectors.

A member keeps its own chip: scheduler, blocks, jobs, messages to router and other chips. What is
folded is a step. Its layers, the exchange with the shards and the shards themselves are entries of
arrays (`kernels.fold`), and nobody sends an envelope:

    chip.py      a chip whose steps go in stretches: several decode steps of one batch
    stretch.py   such a stretch: what was begun, which steps of it have ended
    fold.py      all members: values, times, and the clock that asks before it jumps
    values.py    tokens and experts of steps to come, of many members at once
    launches.py  how long launches take, and what they ask of a machine
    accounts.py  what was done, told to the members' machines and links
"""
