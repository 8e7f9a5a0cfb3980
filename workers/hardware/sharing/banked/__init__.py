"""Flash: channels that do not see one another's dies, banks with a small page cache, planes.

A read takes a place in the queue, has its page sensed by the page's plane, and brings it over the
bus of the plane's channel; its place is free again when its data are there:

    place    ├────────────────────────────────────┤
    plane    ├── sensing, 20 us ──┤                      one page at a time in each plane
    bus                               ├ 43 ns ┤          one page at a time in each channel

All of that serves first come, first served: who came earlier is never held up by who came later,
and what is left open between (a bus that waits for a page being sensed) goes to those behind. So
an end is certain when its read joins.

Times are in picoseconds here: 64 bytes of a channel of 192 GB/s take a third of a nanosecond.
"""

PS = 1_000  # of a nanosecond
