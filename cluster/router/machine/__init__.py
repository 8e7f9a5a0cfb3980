"""The router as a pure machine: `apply(event) -> actions` over one state, no IO or time.

    events    what happened, past tense: all that a replay needs
    state     all that the router knows; it changes by events and in no other way
    actions   what is to be done about it; a shell performs them, and what comes of them is an event

Replaying events gives the same state and the same actions, so nothing that matters lives elsewhere.
"""
