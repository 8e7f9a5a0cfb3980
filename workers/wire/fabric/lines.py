"""Messages that cross links in order. Links cut through: a message's first byte goes on as soon as
the next link is free, and the link is taken for its bytes; so alone it takes its way's latencies
and bytes / the slowest link once, as packets of a real message do, which follow each other through
switches (Kermani and Kleinrock, Virtual cut-through, Computer Networks 3, 1979). To store all of it
in each switch would charge its bytes once a link, which no network of packets does. Buffers have no
end: who waits for a link holds no other.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any

from workers.wire.lane import FifoLane


class Line:
    """One link, and the messages on it by their ends.

    bound   how many more are on their way to it
    """

    __slots__ = ("bound", "bytes_per_s", "ends_ns", "lane", "moved_bytes", "peak")

    def __init__(self, bytes_per_s: int) -> None:
        self.lane, self.bytes_per_s = FifoLane(bytes_per_s), bytes_per_s
        self.ends_ns: deque[int] = deque()
        self.bound = self.peak = self.moved_bytes = 0

    def waiting(self, now_ns: int) -> int:
        ends_ns = self.ends_ns
        while ends_ns and ends_ns[0] <= now_ns:
            ends_ns.popleft()
        return len(ends_ns)

    def saved(self) -> tuple[Any, ...]:
        """Who is bound for it is saved beside it."""
        counts = self.bytes_per_s, self.peak, self.moved_bytes
        return *counts, tuple(self.ends_ns), self.lane.saved()

    @classmethod
    def of_saved(cls, saved: Sequence[Any]) -> "Line":
        bytes_per_s, peak, moved_bytes, ends_ns, lane = saved
        line = cls(bytes_per_s)
        line.peak, line.moved_bytes, line.ends_ns = peak, moved_bytes, deque(ends_ns)
        line.lane.restore(lane)
        return line


class InLine:
    """A message, before its next link.

    index     of that link
    slowest   of the links behind it, bytes a second; 0: none
    last_ns   when its last byte leaves the link behind it
    """

    __slots__ = ("index", "last_ns", "lines", "num_bytes", "sent_ns", "slowest", "waits_ns")
    sent_ns: int  # when its first byte left

    def __init__(self, lines: Sequence[Line], waits_ns: Sequence[int], num_bytes: int) -> None:
        self.lines, self.waits_ns, self.num_bytes = lines, waits_ns, num_bytes
        self.index = self.slowest = self.last_ns = 0
        for line in lines:
            line.bound += 1

    def enter(self, now_ns: int) -> int | None:
        """Its first byte is at its next link. Returns when it is at the one behind; None: it was
        the last, and the end is certain.
        """
        index, num_bytes = self.index, self.num_bytes
        line = self.lines[index]
        begin_ns, end_ns = line.lane.start(now_ns, num_bytes, None, self.slowest)
        line.bound -= 1
        peak = line.waiting(now_ns) + 1
        line.ends_ns.append(end_ns)
        line.moved_bytes += num_bytes
        if peak > line.peak:
            line.peak = peak
        if not self.slowest or line.bytes_per_s < self.slowest:
            self.slowest = line.bytes_per_s
        if end_ns > self.last_ns:
            self.last_ns = end_ns
        if not index:
            self.sent_ns = begin_ns
        self.index = index = index + 1
        if index == len(self.lines):
            return None
        wait_ns = self.waits_ns[index] - self.waits_ns[index - 1]
        self.last_ns += wait_ns
        return begin_ns + wait_ns

    @property
    def end_ns(self) -> int:
        """Of one that has entered its last link: what lies before that has been waited for."""
        return self.last_ns - self.waits_ns[-1]
