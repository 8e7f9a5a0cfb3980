"""How messages that meet on a network's links share them: fairly, all at once, or in order.

Fairly: a message is one flow over all that it crosses; its rate is the max-min fair share
(`hardware.sharing.paths`), the same everywhere on its way at one time. It is as if each link had
as little in its buffers as a lossless fabric with a perfect control of congestion would have.

In order: links cut through (`lines`).
"""

from typing import Protocol

from workers.hardware.flows import Flows
from workers.hardware.sharing.fast_paths import make_paths
from workers.hardware.sharing.hops import PathFlow
from workers.host.clock.base import Clock
from workers.wire.fabric.crossing import Crossing
from workers.wire.fabric.lines import InLine, Line


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

    def look(self, now_ns: int) -> None:
        """Before `load` is asked of several: what others have sent is known until now."""
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

    def look(self, now_ns: int) -> None:
        """All that is sent is sent here."""

    def load(self, name: str, now_ns: int) -> int:
        return self._paths.num_flows(name)

    def peak(self, name: str) -> int:
        return self._paths.peak(name)

    def moved_bytes(self, name: str, now_ns: int) -> int:
        return self._paths.served(name)

    def busy_ns(self, name: str, now_ns: int) -> int:
        return self._paths.busy_ns(name)


class _Crossing(InLine):
    __slots__ = ("crossing",)
    crossing: Crossing


class FifoLinks:
    """See above."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lines: dict[str, Line] = {}

    def add(self, name: str, bytes_per_s: int) -> None:
        self._lines[name] = Line(bytes_per_s)

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
        one = _Crossing([lines[name] for name in names], waits_ns, num_bytes)
        one.crossing = crossing
        self._enter(one, now_ns)
        return one.sent_ns

    def _enter(self, one: _Crossing, now_ns: int) -> None:
        next_ns = one.enter(now_ns)
        if next_ns is None:
            one.crossing.ended(one.end_ns)
        else:
            self._clock.call_at(next_ns, self._enter, one, next_ns)

    def go_on(self, now_ns: int) -> None:
        """Lines know at any time."""

    def look(self, now_ns: int) -> None:
        """All that is sent is sent here."""

    def load(self, name: str, now_ns: int) -> int:
        line = self._lines[name]
        return line.bound + line.waiting(now_ns)

    def peak(self, name: str) -> int:
        return self._lines[name].peak

    def moved_bytes(self, name: str, now_ns: int) -> int:
        return self._lines[name].moved_bytes

    def busy_ns(self, name: str, now_ns: int) -> int:
        return self._lines[name].lane.busy_ns(now_ns)
