"""Links as they are at one time, moved on by what starts and by time alone: no clock, nobody to
tell. Two that are given the same starts in the same order are the same.
"""

import heapq
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from configs.schema.network import NetworkSection
from workers.hardware.sharing.fast_paths import make_paths, paths_of
from workers.hardware.sharing.hops import PathFlow, nobody
from workers.wire.fabric.lines import InLine, Line
from workers.wire.fabric.shared.starts import Ended, SharedWay, Start, Tag


class Course(Protocol):
    """Links get their rates from the first way that has them."""

    @property
    def now_ns(self) -> int: ...

    @property
    def next_ns(self) -> int | None:
        """When something happens next, if nothing starts before."""
        ...

    def start(self, one: Start, way: SharedWay) -> list[Ended]:
        """Go on to when it starts, not before `now_ns`, and let it start; see `advance`."""
        ...

    def advance(self, now_ns: int) -> list[Ended]:
        """Go on to then. Returns ends that became certain meanwhile; they may be still to come."""
        ...

    def sent_ns(self, tag: Tag) -> int | None:
        """When its first byte left; None of one that has ended, or where all leave at once."""
        ...

    def tags(self) -> set[Tag]:
        """Of those whose end is not certain."""
        ...

    def load(self, name: str) -> int: ...

    def peak(self, name: str) -> int: ...

    def moved_bytes(self, name: str) -> int: ...

    def busy_ns(self, name: str) -> int: ...

    def saved(self) -> Any:
        """In tuples, numbers, bytes and texts: `of_saved` goes on from it."""
        ...


class FairCourse:
    """Fairly: `sharing.FairLinks`."""

    def __init__(self) -> None:
        self._paths = make_paths()
        self._tags: set[Tag] = set()

    @classmethod
    def of_saved(cls, saved: Any) -> "FairCourse":
        paths, tags = saved
        course = cls.__new__(cls)
        course._paths, course._tags = paths_of(paths), set(tags)
        return course

    def saved(self) -> Any:
        return self._paths.saved(), tuple(self._tags)

    @property
    def now_ns(self) -> int:
        return self._paths.now_ns

    @property
    def next_ns(self) -> int | None:
        return self._paths.next_end_ns

    def start(self, one: Start, way: SharedWay) -> list[Ended]:
        """Those of one instant are shared once."""
        paths = self._paths
        ended = self.advance(one.at_ns) if one.at_ns > paths.now_ns else []
        for name, rate in zip(way.names, way.rates, strict=True):
            if name not in paths:
                paths.add(name, rate)
        flow = PathFlow(nobody, one.num_bytes, way.names, None, one.weight, one.rank)
        flow.tag = one.tag
        self._tags.add(one.tag)
        paths.join(one.at_ns, flow)
        return ended

    def advance(self, now_ns: int) -> list[Ended]:
        ended = list[Ended]()
        for flow in self._paths.advance(now_ns):
            assert flow.end_ns is not None, "who has ended knows when"
            ended.append((flow.tag, flow.end_ns))
            self._tags.discard(flow.tag)
        return ended

    def sent_ns(self, tag: Tag) -> int | None:
        return None

    def tags(self) -> set[Tag]:
        return self._tags

    def load(self, name: str) -> int:
        return self._paths.num_flows(name) if name in self._paths else 0

    def peak(self, name: str) -> int:
        return self._paths.peak(name) if name in self._paths else 0

    def moved_bytes(self, name: str) -> int:
        return self._paths.served(name) if name in self._paths else 0

    def busy_ns(self, name: str) -> int:
        return self._paths.busy_ns(name) if name in self._paths else 0


class _Tagged(InLine):
    __slots__ = ("names", "tag")
    names: tuple[str, ...]
    tag: Tag


class LineCourse:
    """In order: `sharing.FifoLinks`."""

    def __init__(self) -> None:
        self.now_ns = self._num_entered = 0
        self._lines: dict[str, Line] = {}
        # (when its first byte is at its next link, order of asking, message): a heap.
        self._bound: list[tuple[int, int, _Tagged]] = []
        self._flying: dict[Tag, _Tagged] = {}

    @classmethod
    def of_saved(cls, saved: Any) -> "LineCourse":
        course = cls()
        course.now_ns, course._num_entered, lines, bound = saved
        course._lines = {name: Line.of_saved(line) for name, line in lines}
        for at_ns, order, tag, names, waits_ns, num_bytes, state in bound:
            one = course._tagged(tag, names, waits_ns, num_bytes)
            one.index, one.slowest, one.last_ns, one.sent_ns = state
            for line in one.lines[: one.index]:
                line.bound -= 1  # it is there already
            course._bound.append((at_ns, order, one))
        return course

    def saved(self) -> Any:
        lines = tuple([(name, line.saved()) for name, line in self._lines.items()])
        bound = tuple([
            (
                at_ns, order, one.tag, one.names, tuple(one.waits_ns), one.num_bytes,
                (one.index, one.slowest, one.last_ns, one.sent_ns),
            )
            for at_ns, order, one in self._bound
        ])  # fmt: skip
        return self.now_ns, self._num_entered, lines, bound

    @property
    def next_ns(self) -> int | None:
        return self._bound[0][0] if self._bound else None

    def start(self, one: Start, way: SharedWay) -> list[Ended]:
        ended = self.advance(one.at_ns)
        for name, rate in zip(way.names, way.rates, strict=True):
            if name not in self._lines:
                self._lines[name] = Line(rate)
        return ended + self._enter(
            self._tagged(one.tag, way.names, way.waits_ns, one.num_bytes), self.now_ns
        )

    def _tagged(
        self, tag: Tag, names: tuple[str, ...], waits_ns: Sequence[int], num_bytes: int
    ) -> _Tagged:
        one = _Tagged([self._lines[name] for name in names], waits_ns, num_bytes)
        one.tag, one.names = tag, names
        self._flying[tag] = one
        return one

    def _enter(self, one: _Tagged, now_ns: int) -> list[Ended]:
        next_ns = one.enter(now_ns)
        if next_ns is None:
            del self._flying[one.tag]
            return [(one.tag, one.end_ns)]
        self._num_entered += 1
        heapq.heappush(self._bound, (next_ns, self._num_entered, one))
        return []

    def advance(self, now_ns: int) -> list[Ended]:
        ended, bound = list[Ended](), self._bound
        while bound and bound[0][0] <= now_ns:
            at_ns, _, one = heapq.heappop(bound)
            ended += self._enter(one, at_ns)
        self.now_ns = max(self.now_ns, now_ns)
        return ended

    def sent_ns(self, tag: Tag) -> int | None:
        one = self._flying.get(tag)
        return None if one is None else one.sent_ns

    def tags(self) -> set[Tag]:
        return set(self._flying)

    def load(self, name: str) -> int:
        line = self._lines.get(name)
        return 0 if line is None else line.bound + line.waiting(self.now_ns)

    def peak(self, name: str) -> int:
        return self._lines[name].peak if name in self._lines else 0

    def moved_bytes(self, name: str) -> int:
        return self._lines[name].moved_bytes if name in self._lines else 0

    def busy_ns(self, name: str) -> int:
        return self._lines[name].lane.busy_ns(self.now_ns) if name in self._lines else 0


def courses(section: NetworkSection) -> tuple[Course, Callable[[Any], Course]]:
    """Links on which nothing has been, as a network shares them; and what goes on from a state."""
    if section.sharing == "fifo":
        return LineCourse(), LineCourse.of_saved
    return FairCourse(), FairCourse.of_saved
