"""Power over time, in buckets: what a node's parts draw while they are taken.

It is kept apart from the counters. Those count what is asked for when it is asked; this learns from
whoever shares a resource from when until when it was served, and draws power for that long:

    counters    amount x energy of a unit          at launch
    timeline    power over (begin, end)            when the end is certain

Memory is bounded: a bucket grows twice as wide, and takes in its neighbour, whenever what happens
lies beyond the last. Their sum stays what it was, so the integral of power is kept.
"""

import numpy as np

# Wide enough apart for a picture of any run, and 2 KB a node.
NUM_BUCKETS = 256
FIRST_WIDTH_NS = 1_000
# So many at once: numpy's calls cost the same for one.
KEPT_AT_ONCE = 4_096


class Timeline:
    """From `origin_ns` on. Energy in joules.

    open_joules   of what has begun and whose end nobody knows yet: it is in no bucket
    """

    __slots__ = ("_fresh", "_joules", "open_joules", "origin_ns", "width_ns")

    def __init__(self, origin_ns: int) -> None:
        self.origin_ns, self.width_ns = origin_ns, FIRST_WIDTH_NS
        self._joules = np.zeros(NUM_BUCKETS)
        self._fresh: list[tuple[int, int, float]] = []
        self.open_joules = 0.0

    def draw(self, begin_ns: int, end_ns: int, joules: float) -> None:
        """Draw so much from begin to end, evenly; negative takes back what was drawn.

        What begins before the origin counts from there, and what takes no time takes 1 ns.
        """
        self._fresh.append((begin_ns, end_ns, joules))
        if len(self._fresh) >= KEPT_AT_ONCE:
            self._keep()

    def buckets(self) -> list[float]:
        """Joules in each bucket, up to the last in which anything happened."""
        self._keep()
        used = np.flatnonzero(self._joules)
        return [] if not used.size else [float(j) for j in self._joules[: used[-1] + 1]]

    def copy(self) -> "Timeline":
        """One that goes on by itself."""
        self._keep()
        other = Timeline(self.origin_ns)
        other.width_ns, other._joules = self.width_ns, self._joules.copy()
        other.open_joules = self.open_joules
        return other

    def _keep(self) -> None:
        if not self._fresh:
            return
        begins, ends, joules = (np.array(column) for column in zip(*self._fresh, strict=True))
        self._fresh.clear()
        begins = np.maximum(begins - self.origin_ns, 0)
        ends = np.maximum(ends - self.origin_ns, begins + 1)
        self._reach(int(ends.max()))
        first, last = begins // self.width_ns, (ends - 1) // self.width_ns
        within = first == last
        np.add.at(self._joules, first[within], joules[within])
        for begin, end, energy in zip(
            begins[~within].tolist(), ends[~within].tolist(), joules[~within].tolist(), strict=True
        ):
            self._spread(begin, end, energy)

    def _reach(self, end: int) -> None:
        while end > NUM_BUCKETS * self.width_ns:
            merged = self._joules.reshape(-1, 2).sum(axis=1)
            self._joules = np.concatenate([merged, np.zeros(NUM_BUCKETS // 2)])
            self.width_ns *= 2

    def _spread(self, begin: int, end: int, joules: float) -> None:
        """Over all buckets that it lies in, evenly in time."""
        width, power = self.width_ns, joules / (end - begin)
        first, last = begin // width, (end - 1) // width
        self._joules[first] += power * ((first + 1) * width - begin)
        self._joules[last] += power * (end - last * width)
        self._joules[first + 1 : last] += power * width


class Drawing:
    """A part is taken for somebody from `begin_ns` on; whoever shares it tells the end."""

    __slots__ = ("_begin_ns", "_joules", "_timeline")

    def __init__(self, timeline: Timeline, begin_ns: int, joules: float) -> None:
        self._timeline, self._begin_ns, self._joules = timeline, begin_ns, joules
        timeline.open_joules += joules

    def ended(self, end_ns: int) -> None:
        self._timeline.open_joules -= self._joules
        self._timeline.draw(self._begin_ns, end_ns, self._joules)
