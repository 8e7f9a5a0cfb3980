"""What a request should take, reckoned from the specification alone: devices, links, the sizes of
the model, and what a message says (docs/architecture.md). It shares no code with the emulator.

    machine   devices and links: rates, start-up, and equal parts for whoever is on a lane at once
    model     sizes of the model, and which experts its gates choose (asked of transformers)
    path      the way of one request through `single` and `demo`, when nobody else is there

All times are nanoseconds, as floats: nothing is rounded.
"""
