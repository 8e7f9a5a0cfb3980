"""How messages that meet on a network's links share them: fairly, all at once, or in order.

Fairly: a message is one flow over all that it crosses; its rate is the max-min fair share
(`hardware.sharing.paths`), the same everywhere on its way at one time. It is as if each link had
as little in its buffers as a lossless fabric with a perfect control of congestion would have.

In order: links cut through. A message's first byte goes on as soon as the next link is free, and
the link is taken for its bytes; so alone it takes its way's latencies and bytes / the slowest link
once, as packets of a real message do, which follow each other through switches (Kermani and
Kleinrock, Virtual cut-through, Computer Networks 3, 1979). To store all of it in each switch would
charge its bytes once a link, which no network of packets does. Buffers have no end: who waits for a
link holds no other.
"""

from collections import deque
from typing import Protocol

from workers.hardware.flows import Flows
from workers.hardware.sharing.fast_paths import make_paths
from workers.hardware.sharing.hops import PathFlow
from workers.host.clock.base import Clock
from workers.wire.fabric.crossing import Crossing
from workers.wire.lane import FifoLane


class LinkSharing(Protocol):
    """Links by name."""

    def add(self, name: str, bytes_per_s: int) -> None: ...

    def knows(self, name: str) -> bool: ...

    def start_message(
        self,
        now_ns: int,
        num_bytes: int,
        names: tuple[str, ...],
        waits_ns: tuple[int, ...],
        crossing: Crossing,
        weight: int,
        rank: int,
    ) -> int:
        """A message leaves; the crossing is told its end when it has come. Returns when its first
        byte leaves.
        """
        ...

    def go_on(self, now_ns: int) -> None:
        """What has ended by now is told, and what links have done is known until now."""
        ...

    def load(self, name: str, now_ns: int) -> int:
        """Messages on a link now, and those that wait in its line or are bound for it."""
        ...

    def peak(self, name: str) -> int: ...

    def moved_bytes(self, name: str, now_ns: int) -> int: ...

    def busy_ns(self, name: str, now_ns: int) -> int: ...


class FairLinks(Flows[PathFlow]):
    """See above. Messages of one instant are shared once."""

    __slots__ = ("_is_open", "_paths")

    def __init__(self, clock: Clock) -> None:
        self._paths, self._is_open = make_paths(), False
        super().__init__(clock, self._paths)

    def add(self, name: str, bytes_per_s: int) -> None:
        self._paths.add(name, bytes_per_s)

    def knows(self, name: str) -> bool:
        return name in self._paths

    def start_one(self, now_ns: int, flow: PathFlow) -> None:
        """More may come at this instant: rates are found, and the timer set, after them."""
        paths = self._paths
        if now_ns > paths.now_ns:
            self._tell(paths.advance(now_ns))
        paths.join(now_ns, flow)
        if not self._is_open:
            self._is_open = True
            self._clock.call_at(now_ns, self._shared)

    def start_message(
        self,
        now_ns: int,
        num_bytes: int,
        names: tuple[str, ...],
        waits_ns: tuple[int, ...],
        crossing: Crossing,
        weight: int,
        rank: int,
    ) -> int:
        self.start_one(now_ns, PathFlow(crossing.ended, num_bytes, names, None, weight, rank))
        return now_ns

    def _shared(self) -> None:
        self._is_open = False
        self._tell(())

    def go_on(self, now_ns: int) -> None:
        self._tell(self._paths.advance(now_ns))

    def load(self, name: str, now_ns: int) -> int:
        return self._paths.num_flows(name)

    def peak(self, name: str) -> int:
        return self._paths.peak(name)

    def moved_bytes(self, name: str, now_ns: int) -> int:
        return self._paths.served(name)

    def busy_ns(self, name: str, now_ns: int) -> int:
        return self._paths.busy_ns(name)


class _Line:
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


class _InLine:
    """A message, before its next link.

    slowest   of the links behind it, bytes a second; 0: none
    last_ns   when its last byte leaves the link behind it
    """

    __slots__ = (
        "crossing", "last_ns", "lines", "num_bytes", "sent_ns", "slowest", "waits_ns",
    )  # fmt: skip
    sent_ns: int  # when its first byte left

    def __init__(
        self, lines: list[_Line], waits_ns: tuple[int, ...], num_bytes: int, crossing: Crossing
    ) -> None:
        self.lines, self.waits_ns, self.num_bytes = lines, waits_ns, num_bytes
        self.crossing, self.slowest, self.last_ns = crossing, 0, 0


class FifoLinks:
    """See above."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lines: dict[str, _Line] = {}

    def add(self, name: str, bytes_per_s: int) -> None:
        self._lines[name] = _Line(bytes_per_s)

    def knows(self, name: str) -> bool:
        return name in self._lines

    def start_message(
        self,
        now_ns: int,
        num_bytes: int,
        names: tuple[str, ...],
        waits_ns: tuple[int, ...],
        crossing: Crossing,
        weight: int,
        rank: int,
    ) -> int:
        lines = self._lines
        one = _InLine([lines[name] for name in names], waits_ns, num_bytes, crossing)
        for line in one.lines:
            line.bound += 1
        self._enter(one, 0, now_ns)
        return one.sent_ns

    def _enter(self, one: _InLine, index: int, now_ns: int) -> None:
        """Its first byte is at a link."""
        line, num_bytes = one.lines[index], one.num_bytes
        begin_ns, end_ns = line.lane.start(now_ns, num_bytes, None, one.slowest)
        line.bound -= 1
        peak = line.waiting(now_ns) + 1
        line.ends_ns.append(end_ns)
        line.moved_bytes += num_bytes
        if peak > line.peak:
            line.peak = peak
        if not one.slowest or line.bytes_per_s < one.slowest:
            one.slowest = line.bytes_per_s
        if end_ns > one.last_ns:
            one.last_ns = end_ns
        if not index:
            one.sent_ns = begin_ns
        index += 1
        if index < len(one.lines):
            wait_ns = one.waits_ns[index] - one.waits_ns[index - 1]
            one.last_ns += wait_ns
            self._clock.call_at(begin_ns + wait_ns, self._enter, one, index, begin_ns + wait_ns)
        else:
            # What lies before the last link has been waited for.
            one.crossing.ended(one.last_ns - one.waits_ns[-1])

    def go_on(self, now_ns: int) -> None:
        """Lines know at any time."""

    def load(self, name: str, now_ns: int) -> int:
        line = self._lines[name]
        return line.bound + line.waiting(now_ns)

    def peak(self, name: str) -> int:
        return self._lines[name].peak

    def moved_bytes(self, name: str, now_ns: int) -> int:
        return self._lines[name].moved_bytes

    def busy_ns(self, name: str, now_ns: int) -> int:
        return self._lines[name].lane.busy_ns(now_ns)
