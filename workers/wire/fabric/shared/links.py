"""Links that this process shares with others (`sharing.LinkSharing`): it writes down what it sends,
reads what they sent, and goes through both by itself.

Whoever waits for an end looks when something is to happen on any link, and at what was written
down meanwhile: an end that was to come is another where somebody has joined since.
"""

from collections.abc import Callable, Sequence
from typing import Any

from workers.host.clock.base import Clock, Timer
from workers.wire.fabric.crossing import Crossing
from workers.wire.fabric.shared.course import Course
from workers.wire.fabric.shared.fold import Fold
from workers.wire.fabric.shared.segment import RING, Header, Segment
from workers.wire.fabric.shared.starts import ELSEWHERE, Ended, SharedWay, Start

# Starts are settled by whoever writes down the last of so many.
SETTLE_EVERY = 128


class SharedLinks:
    """grace_ns   who tells of a message no later than that has it where it belongs in time"""

    def __init__(
        self, clock: Clock, segment: Segment, course_of: Callable[[Any], Course], grace_ns: int
    ) -> None:
        self._clock, self.segment, self._course_of = clock, segment, course_of
        self._grace_ns = grace_ns
        self.on_sent: Callable[[], None] | None = None  # told after each message
        self._rates: dict[str, int] = {}
        self._numbers: dict[tuple[tuple[str, ...], tuple[int, ...]], int] = {}
        self._open: dict[int, Crossing] = {}  # by number: those whose end is not told yet
        self._num_sent = 0
        self._timer: Timer | None = None
        self._timer_ns: int | None = None
        with segment.locked():
            self._load(segment.refresh())

    # -- LinkSharing -------------------------------------------------------------------------------

    def add(self, name: str, bytes_per_s: int) -> None:
        self._rates[name] = bytes_per_s

    def knows(self, name: str) -> bool:
        return name in self._rates

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
        way = self._numbers.get((names, waits_ns))
        if way is None:
            way = self._numbers[names, waits_ns] = self.number_of(self.way_of(names, waits_ns))
        with self.segment.locked():
            ended = self._read()
            self._num_sent += 1
            owner = self.segment.owner
            start = Start(now_ns, owner, self._num_sent, num_bytes, way, weight, rank)
            self._open[start.number] = crossing
            ended += self._append([start])
        at_ns = max(now_ns, self._header.settled_ns)
        ended += self._fold.to(at_ns)
        sent_ns = self._fold.course.sent_ns(start.tag)
        self._tell(ended)
        if self.on_sent is not None:
            self.on_sent()
        return at_ns if sent_ns is None else sent_ns

    def go_on(self, now_ns: int) -> None:
        with self.segment.locked():
            ended = self._read()
        self._tell(ended + self._fold.to(now_ns))

    def look(self, now_ns: int) -> None:
        self.go_on(now_ns)

    def load(self, name: str, now_ns: int) -> int:
        return self._fold.course.load(name)

    def peak(self, name: str) -> int:
        return self._fold.course.peak(name)

    def moved_bytes(self, name: str, now_ns: int) -> int:
        return self._fold.course.moved_bytes(name)

    def busy_ns(self, name: str, now_ns: int) -> int:
        if now_ns > self._fold.now_ns:
            self.go_on(now_ns)
        return self._fold.course.busy_ns(name)

    # ----------------------------------------------------------------------------------------------

    def way_of(
        self, names: tuple[str, ...], waits_ns: tuple[int, ...], pair: tuple[str, str] = ("", "")
    ) -> SharedWay:
        return SharedWay(names, tuple([self._rates[name] for name in names]), waits_ns, pair)

    def number_of(self, way: SharedWay) -> int:
        """Raises SegmentFull."""
        with self.segment.locked():
            self.segment.refresh()
            return self.segment.number_of(way)

    def unreported(self) -> list[Start]:
        """What has left on this machine and was never asked for so before; it is now."""
        with self.segment.locked():
            return [one for one in self.segment.unreported() if one.owner != ELSEWHERE]

    def left_elsewhere(self, starts: Sequence[Start]) -> None:
        """Messages of another machine that load links here; their ways are of this segment."""
        ended = list[Ended]()
        for at in range(0, len(starts), SETTLE_EVERY):
            with self.segment.locked():
                ended += self._read()
                some = enumerate(starts[at : at + SETTLE_EVERY], self._header.end)
                ended += self._append([one._replace(number=number) for number, one in some])
        self._tell(ended + self._fold.to(0))

    def close(self) -> None:
        """Nobody waits for an end any more."""
        if self._timer is not None:
            self._timer.cancel()
        self.segment.close()

    # -- under the lock ----------------------------------------------------------------------------

    def _load(self, header: Header) -> None:
        """The state, and what is in none."""
        self._fold = Fold(self.segment.state(), self._course_of, self.segment.way)
        self._header, self._num_read = header, header.first
        for one in self.segment.starts(header.first, header.end):
            if one.at_ns >= header.settled_ns:
                self._fold.insert(one)
        self._num_read = header.end

    def _read(self) -> list[Ended]:
        """What the others have written down since; ends that became certain by what is settled."""
        known_ns, header = self._header.settled_ns, self.segment.refresh()
        if header.first > self._num_read:
            return self._come_back(header)
        for one in self.segment.starts(self._num_read, header.end):
            self._fold.insert(one)
        self._header, self._num_read = header, header.end
        return [] if header.settled_ns == known_ns else self._forget(header.settled_ns)

    def _forget(self, settled_ns: int) -> list[Ended]:
        ended = self._fold.to(settled_ns)
        self._fold.forget(settled_ns)
        return ended

    def _come_back(self, header: Header) -> list[Ended]:
        """Others have settled what this process, stopped for long, has never read. What it had sent
        and is on no link any more has ended unseen: it hears so now.
        """
        now_ns, owner = self._fold.now_ns, self.segment.owner
        self._load(header)
        ended = self._fold.to(now_ns)
        on_links = self._fold.course.tags()
        told = {tag for tag, _ in ended}
        gone = [n for n in self._open if (owner, n) not in on_links and (owner, n) not in told]
        waiting = {one.tag for one in self.segment.starts(header.first, header.end)}
        at_ns = header.settled_ns
        return ended + [((owner, n), at_ns) for n in gone if (owner, n) not in waiting]

    def _append(self, starts: Sequence[Start]) -> list[Ended]:
        """Write them down; settle first where there are many. What left before what is settled,
        leaves then.
        """
        ended, num_open = list[Ended](), self._header.end - self._header.first
        more = num_open + len(starts)
        if more > RING or more // SETTLE_EVERY > num_open // SETTLE_EVERY:
            ended = self._settle(is_full=more > RING)
        settled_ns = self._header.settled_ns
        starts = [one._replace(at_ns=max(one.at_ns, settled_ns)) for one in starts]
        self.segment.append(starts)
        self._header = self.segment.refresh()
        self._num_read = self._header.end
        for one in starts:
            self._fold.insert(one)
        return ended

    def _settle(self, *, is_full: bool) -> list[Ended]:
        """Starts that nobody's late message can come before any more go into the state."""
        header = self._header
        starts = self.segment.starts(header.first, header.end)
        until_ns = self._clock.wall_now() - self._grace_ns
        if is_full:  # a time without grace, rather than no room
            until_ns = max(until_ns, 1 + max(one.at_ns for one in starts))
        if until_ns <= header.settled_ns:
            return []
        first = next((i for i, one in enumerate(starts) if one.at_ns >= until_ns), len(starts))
        self.segment.settle(until_ns, header.first + first, self._fold.state_at(until_ns))
        self._header = self.segment.refresh()
        return self._forget(until_ns)

    # -- ends --------------------------------------------------------------------------------------

    def _tell(self, ended: Sequence[Ended]) -> None:
        """Those whom it concerns, each once, and never within the call that sends: whoever is told
        speaks to the receiver, and the message goes first.
        """
        for (owner, number), end_ns in ended:
            if owner != self.segment.owner:
                continue
            crossing = self._open.pop(number, None)
            if crossing is not None:
                at_ns = min(end_ns, self._fold.now_ns)
                self._clock.call_at(at_ns, crossing.ended, end_ns)
        self._set_timer()

    def _set_timer(self) -> None:
        """While something of ours is on its way."""
        due_ns = self._fold.next_ns if self._open else None
        if due_ns == self._timer_ns:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_ns = due_ns
        self._timer = None if due_ns is None else self._clock.call_at(due_ns, self._due)

    def _due(self) -> None:
        due_ns, self._timer, self._timer_ns = self._timer_ns, None, None
        if due_ns is not None:
            self.go_on(due_ns)
