"""The bus of one channel: when it is taken, from now on."""

from bisect import bisect_right


class Calendar:
    """One server whose customers come ready at times of their own, not in the order in which they
    joined.

    Each takes what those before it have left from when it is ready, in parts if need be: a page on
    its way yields to one that was promised the bus earlier. Stretches that are taken lie in order,
    none touching another.
    """

    __slots__ = ("_begins", "_ends", "_taken_ps")

    def __init__(self) -> None:
        self._begins: list[int] = []
        self._ends: list[int] = []
        self._taken_ps = 0

    def take(self, ready_ps: int, length_ps: int) -> int:
        """So long of what is free from `ready_ps` on; returns when the last of it ends."""
        self._taken_ps += length_ps
        begins, ends = self._begins, self._ends
        if not ends or ready_ps > ends[-1]:
            begins.append(ready_ps)
            ends.append(ready_ps + length_ps)
            return ends[-1]
        first = bisect_right(ends, ready_ps)  # the stretches before it have ended by then
        if first and ends[first - 1] == ready_ps:
            first -= 1
        begin_ps = min(ready_ps, begins[first]) if first < len(ends) else ready_ps
        at_ps, last = ready_ps, first
        while last < len(ends) and (gap_ps := begins[last] - at_ps) < length_ps:
            length_ps -= max(0, gap_ps)
            at_ps = ends[last]
            last += 1
        done_ps = end_ps = at_ps + length_ps
        if last < len(ends) and begins[last] == done_ps:
            end_ps = ends[last]
            last += 1
        begins[first:last], ends[first:last] = [begin_ps], [end_ps]
        return done_ps

    def forget(self, now_ps: int) -> None:
        """Nobody takes what is past."""
        past = bisect_right(self._ends, now_ps)
        del self._begins[:past], self._ends[:past]

    def busy_ps(self, now_ps: int) -> int:
        """How long it has worked until now."""
        to_come = sum(
            end_ps - max(begin_ps, now_ps)
            for begin_ps, end_ps in zip(self._begins, self._ends, strict=True)
            if end_ps > now_ps
        )
        return self._taken_ps - to_come
