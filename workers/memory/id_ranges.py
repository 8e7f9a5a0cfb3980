"""Sets of passage ids as ranges: a document's passages have ids in a row. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray


class IdRanges:
    """Ranges that neither overlap nor touch, in order."""

    def __init__(self, ranges: Iterable[range] = ()) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []
        for each in ranges:
            self.add(each)

    @classmethod
    def of(cls, first: NDArray[np.int64], stop: NDArray[np.int64]) -> "IdRanges | None":
        """As messages have them: each from one of `first` to before its `stop`; None for none."""
        return cls(map(range, first.tolist(), stop.tolist())) if len(first) else None

    def __iter__(self) -> Iterator[range]:
        return map(range, self._starts, self._stops)

    def __len__(self) -> int:
        """Ranges, not ids."""
        return len(self._starts)

    def __contains__(self, passage_id: int) -> bool:
        at = bisect_right(self._starts, passage_id) - 1
        return at >= 0 and passage_id < self._stops[at]

    def add(self, more: range) -> None:
        """What it overlaps or touches becomes one with it."""
        if not more:
            return
        first, last = bisect_left(self._stops, more.start), bisect_right(self._starts, more.stop)
        start, stop = more.start, more.stop
        if first < last:
            start, stop = min(start, self._starts[first]), max(stop, self._stops[last - 1])
        self._starts[first:last] = [start]
        self._stops[first:last] = [stop]

    def mask(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """[len(ids)]: which of them are in the set."""
        if not self._starts:
            return np.zeros(len(ids), bool)
        starts, stops = np.asarray(self._starts, np.int64), np.asarray(self._stops, np.int64)
        at = np.searchsorted(starts, ids, "right") - 1
        return (at >= 0) & (ids < stops[np.maximum(at, 0)])
