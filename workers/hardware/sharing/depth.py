"""Pages in flight: a queue is so many deep, and a page has its place until it is there.

A page takes its turn on the bus and is there a latency later; so pages in flight together share one
latency, and a page beyond the queue's depth waits for the place of the one `depth` before it:

    depth 3     1 ▒────────▶        ▒ its turn on the bus, ─▶ there a latency after it
                2  ▒────────▶
                3   ▒────────▶
                4             ▒────────▶        in the place of 1
                5              ▒────────▶

Where turn and latency of one page take no longer than the turns of `depth` of them, the bus is
never short of pages, and the depth bounds nothing (`binds`). Else it does: depth pages for each
latency and turn (Little's law), and time is in grains.
"""

from collections import deque
from typing import Protocol

from workers.hardware.sharing.base import Ended
from workers.hardware.sharing.fair import GRAINS
from workers.hardware.sharing.in_order import Fifo, Servers


class Depth(Protocol):
    """Places of a queue that is too short to hide its latency."""

    def serve(self, now_ns: int, pages: int, most: int, ended: Ended) -> None:
        """Pages want places from now on, at most so many at once; told when the last is there as
        far as the places go: the bus has its own word.
        """
        ...


def binds(depth: int, turn: int, latency_ns: int) -> bool:
    """Whether a queue so deep holds up a bus on which a page's turn takes so many grains."""
    return (depth - 1) * turn < latency_ns * GRAINS


def alone(pages: int, depth: int, turn: int, latency_ns: int) -> int:
    """Grains until the last of so many pages has had its turn, nobody else being there."""
    if not pages or not binds(depth, turn, latency_ns):
        return pages * turn
    rounds, last = divmod(pages - 1, depth)
    return rounds * (latency_ns * GRAINS + turn) + (last + 1) * turn


class InOrder:
    """Before one server that serves in order. Ends are exactly those of one page after the other.

    Pages come back as they went out: in runs, each page a turn after the one before. A run that
    waits for a run's places follows it as a whole, so millions of pages cost a few runs.
    """

    def __init__(self, bus: Fifo, depth: int, turn: int, latency_ns: int) -> None:
        self._bus, self._turn, self._latency_ns = bus, turn, latency_ns
        self._latency = latency_ns * GRAINS
        self._free = depth  # places that nobody has
        self._depth = depth
        self._runs: deque[tuple[int, int]] = deque()  # (first is there, pages): taken places
        self._done = 0  # when the last turn given ends

    def serve(self, now_ns: int, pages: int, most: int, ended: Ended) -> None:
        """`most` is the bus's to keep: it knows of limits."""
        now = self._bus.begins_ns(now_ns) * GRAINS
        self._come_back(now)
        num_free = min(pages, self._free)
        if num_free:
            self._free -= num_free
            self._give(max(now, self._done), num_free)
        pages -= num_free
        while pages:
            pages -= self._round(min(pages, self._depth))
            pages -= self._skip(pages)
        ended(-(-(max(now, self._done) + self._latency) // GRAINS))

    def _come_back(self, now: int) -> None:
        while self._runs and self._runs[0][0] <= now:
            first, pages = self._runs.popleft()
            back = min(pages, (now - first) // self._turn + 1)
            self._free += back
            if back < pages:
                self._runs.appendleft((first + back * self._turn, pages - back))

    def _give(self, begin: int, pages: int) -> None:
        """Turns one after the other."""
        first = begin + self._turn + self._latency
        self._done = begin + pages * self._turn
        if self._runs:
            before, num_before = self._runs[-1]
            if before + num_before * self._turn == first:
                self._runs[-1] = (before, num_before + pages)
                return
        self._runs.append((first, pages))

    def _round(self, pages: int) -> int:
        """So many go in the places of those that come back first."""
        left = pages
        while left:
            first, num = self._runs.popleft()
            here = min(left, num)
            if here < num:
                self._runs.appendleft((first + here * self._turn, num - here))
            self._give(max(first, self._done), here)
            left -= here
        return pages

    def _skip(self, pages: int) -> int:
        """Whole rounds that go on like the last one: each page a latency and a turn after the one
        whose place it takes, none held up by the bus. Returns how many pages those are.
        """
        rounds = pages // self._depth
        if rounds < 2 or self._free or not self._is_even():
            return 0
        later = rounds * (self._latency + self._turn)
        self._runs = deque((first + later, num) for first, num in self._runs)
        self._done += later
        return rounds * self._depth

    def _is_even(self) -> bool:
        """Whether the places that come back next are no earlier than the bus is free for them, and
        all others likewise after them.
        """
        done = self._done
        for first, num in self._runs:
            if first < done:
                return False
            done = first + num * self._turn
        return done <= self._runs[0][0] + self._latency + self._turn


class BesideServers:
    """Before several servers: each place is held for a page's service and its latency."""

    def __init__(self, depth: int, servers: int, turn: int, latency_ns: int) -> None:
        self._places = Servers(depth)
        self._held_ns = -(-servers * turn // GRAINS) + latency_ns

    def serve(self, now_ns: int, pages: int, most: int, ended: Ended) -> None:
        ended(self._places.join(now_ns, self._held_ns, pages))
