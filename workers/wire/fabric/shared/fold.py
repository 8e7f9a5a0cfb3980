"""A list of starts gone through, and gone through again from where a late one belongs.

A host that is late tells of a message when others have gone on. It gets the place that its time
gives it, so emulated time does not depend on who was late; only what has been delivered stays as it
was delivered.

    starts    a 10   b 14   d 31              kept: after a, after d, ...
    to 40     a ends 25 ... d ends 39
    c 20 comes: back to what was kept after a, then b, c, d again: d ends 43
"""

from bisect import bisect_right, insort
from collections.abc import Callable
from typing import Any

from workers.wire.fabric.shared.course import Course
from workers.wire.fabric.shared.starts import Ended, SharedWay, Start

# Starts between two states that are kept: so many at most are gone through in vain.
KEPT_EVERY = 16


class Fold:
    """saved      of the course from which it goes on
    way_of     the way that has a number
    """

    def __init__(
        self, saved: Any, course_of: Callable[[Any], Course], way_of: Callable[[int], SharedWay]
    ) -> None:
        self._course_of, self._way_of = course_of, way_of
        self.course = course_of(saved)
        self.now_ns = self.course.now_ns
        self._starts: list[Start] = []  # in order
        self._num_done = 0
        self._kept: list[tuple[int, Any]] = [(0, saved)]  # (after so many starts, state)

    def insert(self, start: Start) -> None:
        """One more; not before the state from which all began."""
        place = bisect_right(self._starts, start)
        insort(self._starts, start)
        if place < self._num_done or start.at_ns < self.course.now_ns:
            while self._kept[-1][0] > place:
                self._kept.pop()
            self._num_done, saved = self._kept[-1]
            self.course = self._course_of(saved)

    def to(self, now_ns: int) -> list[Ended]:
        """Go on to then, or to where it was already. Returns ends that became certain, those among
        them that did before and are others now.
        """
        self.now_ns = max(self.now_ns, now_ns)
        ended = list[Ended]()
        starts, course = self._starts, self.course
        while self._num_done < len(starts) and starts[self._num_done].at_ns <= self.now_ns:
            one = starts[self._num_done]
            ended += course.start(one, self._way_of(one.way))
            self._num_done += 1
            if self._num_done >= self._kept[-1][0] + KEPT_EVERY:
                self._kept.append((self._num_done, course.saved()))
        return ended + course.advance(self.now_ns)

    @property
    def next_ns(self) -> int | None:
        """When something happens next, as far as is known."""
        return self.course.next_ns

    def state_at(self, at_ns: int) -> Any:
        """The state with all that started before then and nothing that starts later."""
        num_before = self._num_before(at_ns)
        position, saved = next(kept for kept in reversed(self._kept) if kept[0] <= num_before)
        course = self._course_of(saved)
        for one in self._starts[position:num_before]:
            course.start(one, self._way_of(one.way))
        course.advance(at_ns)
        return course.saved()

    def forget(self, before_ns: int) -> None:
        """Nothing will come that started before then, and all that did is done."""
        num_before = self._num_before(before_ns)
        gone = 0
        while len(self._kept) > 1 and self._kept[1][0] <= num_before:
            gone = self._kept[1][0]
            del self._kept[0]
        del self._starts[:gone]
        self._num_done -= gone
        self._kept = [(position - gone, saved) for position, saved in self._kept]

    def _num_before(self, at_ns: int) -> int:
        return bisect_right(self._starts, at_ns - 1, key=_time)


def _time(start: Start) -> int:
    return start.at_ns
