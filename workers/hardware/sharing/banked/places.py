"""Places for pages in flight: the queue is so deep, and a page has its place until it is there."""

import heapq


class Places:
    """When each place is free. Places of a stream come back evenly: (first, step, how many) is one
    entry of the heap for all of them.
    """

    __slots__ = ("_runs",)

    def __init__(self, num: int) -> None:
        self._runs = [(0, 0, num)]

    def take(self, at_ps: int) -> int:
        """The place that is free first; returns from when on it is had."""
        first_ps, step_ps, num = self._runs[0]
        if num > 1:
            heapq.heapreplace(self._runs, (first_ps + step_ps, step_ps, num - 1))
        else:
            heapq.heappop(self._runs)
        return max(at_ps, first_ps)

    def take_many(self, at_ps: int, num: int) -> tuple[int, int]:
        """So many of those that are free first; returns from when on the first of them is had, and
        all of them on average. A run is had as a whole, whatever of others lies within it: a stream
        takes most places there are.
        """
        begin_ps, left, total_ps = max(at_ps, self._runs[0][0]), num, 0
        while left:
            first_ps, step_ps, here = heapq.heappop(self._runs)
            if here > left:
                rest = (first_ps + left * step_ps, step_ps, here - left)
                heapq.heappush(self._runs, rest)
                here = left
            total_ps += here * max(at_ps, first_ps + (here - 1) * step_ps // 2)
            left -= here
        return begin_ps, total_ps // num

    def give(self, at_ps: int, step_ps: int = 0, num: int = 1) -> None:
        """A place is free from then on; or `num` of them, each a step after the one before."""
        heapq.heappush(self._runs, (at_ps, step_ps, num))

    def shift(self, by_ps: int) -> None:
        """Each is free that much later."""
        self._runs = [(first_ps + by_ps, step_ps, num) for first_ps, step_ps, num in self._runs]

    def next_ps(self, at_ps: int) -> int:
        """When a place would be had that is asked for then."""
        return max(at_ps, self._runs[0][0])
