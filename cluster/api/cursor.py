"""A piece of a list, by the ids of what is in it: OpenAI's cursors. Pure."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from workers.errors import InvalidRequest

# Whoever deletes all that is listed, a page at a time, goes on after one that he has deleted.
GONE_MAX = 16_384


class Places:
    """Numbers of the ids that a list has, or had: what goes keeps its place, of the GONE_MAX that
    came last. Each list that is told is to be shown to `see` first.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._next = 0

    def see(self, oldest_first: Collection[str]) -> Mapping[str, int]:
        """The numbers of these, in their order, and of those that are gone. What is new comes after
        all that was there; so does what went and came again.
        """
        before = -1
        for one in oldest_first:
            number = self._numbers.get(one, -1)
            if number <= before:
                self._numbers.pop(one, None)  # the dict's order is that of the numbers
                number = self._numbers[one] = self._next
                self._next += 1
            before = number
        num_beyond = len(self._numbers) - len(oldest_first) - GONE_MAX
        if num_beyond > 0:
            there = set(oldest_first)
            gone = [one for one in self._numbers if one not in there]
            for one in gone[:num_beyond]:
                del self._numbers[one]
        return self._numbers


@dataclass(frozen=True, slots=True)
class Cursor:
    """At most `limit`, the newest first or the oldest; those after one and before another."""

    limit: int
    newest_first: bool = True
    after: str | None = None
    before: str | None = None

    def window(
        self, oldest_first: Sequence[str], numbers: Mapping[str, int] | None = None
    ) -> tuple[Sequence[str], bool]:
        """Their ids, and whether more follow. `numbers` are those of all that may be named, also of
        what is in the list no more. Raises InvalidRequest for an id without one.
        """
        if numbers is None:
            numbers = {one: number for number, one in enumerate(oldest_first)}
        older, newer = self.after, self.before
        if self.newest_first:
            older, newer = newer, older
        low = -1 if older is None else self._number(numbers, older)
        high = math.inf if newer is None else self._number(numbers, newer)
        window = [one for one in oldest_first if low < numbers[one] < high]
        if self.newest_first:
            window.reverse()
        return window[: self.limit], len(window) > self.limit

    def _number(self, numbers: Mapping[str, int], wanted: str) -> int:
        if wanted in numbers:
            return numbers[wanted]
        key = "after" if wanted == self.after else "before"
        raise InvalidRequest(f"{key} is {wanted!r:.80}: it must be an id from the list", param=key)
