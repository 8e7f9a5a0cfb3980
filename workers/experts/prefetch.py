"""The shard's half of expert prefetch: what was hinted at is read into the buffers of its tiers,
and whoever asks for it then waits for no read.

    buffer of a tier   [ half: being consumed | half: experts read ahead, the first read first out ]

What is asked for leaves the buffer: it is consumed. What is not stays until its place is needed,
and counts as wasted then. Whole experts only: one that is larger than its part of the half is not
read ahead.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

Key = tuple[int, int]  # layer, expert


class Reading(Protocol):
    """A read that has begun; see `workers.hardware.hardware.Launch`."""

    due_ns: int
    num_open: int

    async def certain(self) -> None: ...


@dataclass(slots=True)
class PrefetchCounts:
    """Since start: experts that were asked for and were there, or on their way; those that were
    not; bytes that were read ahead, and of these what went unused; hints for which there was no
    room.
    """

    hits: int = 0
    misses: int = 0
    read_bytes: int = 0
    wasted_bytes: int = 0
    no_room: int = 0


class Buffer:
    """Experts of `num_bytes` each, read ahead into `half_bytes` of one tier's buffer."""

    def __init__(self, half_bytes: int, num_bytes: int, counts: PrefetchCounts) -> None:
        self._places, self._num_bytes, self._counts = half_bytes // num_bytes, num_bytes, counts
        self._readings: OrderedDict[Key, Reading] = OrderedDict()

    def __len__(self) -> int:
        return len(self._readings)

    def hint(self, key: Key, now_ns: int, begin: Callable[[], Reading]) -> None:
        """Begin to read it, if it is not here and a place is free, or can be."""
        if key in self._readings:
            return
        if len(self._readings) >= self._places and not self._drop_oldest(now_ns):
            self._counts.no_room += 1
            return
        self._readings[key] = begin()
        self._counts.read_bytes += self._num_bytes

    def _drop_oldest(self, now_ns: int) -> bool:
        """Only what has been read can go."""
        oldest = next(iter(self._readings), None)
        if oldest is None:
            return False
        reading = self._readings[oldest]
        if reading.num_open or reading.due_ns > now_ns:
            return False
        del self._readings[oldest]
        self._counts.wasted_bytes += self._num_bytes
        return True

    def take(self, key: Key) -> Reading | None:
        """It is consumed; None if it is not here."""
        reading = self._readings.pop(key, None)
        self._counts.hits += reading is not None
        self._counts.misses += reading is None
        return reading


class Prefetch:
    """Of one shard. `buffer_of`: expert -> its tier's buffer, for those that lie in a tier with
    one.
    """

    def __init__(self, buffer_of: Mapping[int, Buffer], counts: PrefetchCounts) -> None:
        self._buffer_of, self.counts = buffer_of, counts

    def hint(
        self, layer: int, experts: Iterable[int], now_ns: int, begin: Callable[[int], Reading]
    ) -> None:
        """Begin to read these, in this order, as far as there is room."""
        for expert in experts:
            buffer = self._buffer_of.get(expert)
            if buffer is not None:
                buffer.hint((layer, expert), now_ns, partial(begin, expert))

    def take(self, layer: int, experts: Iterable[int]) -> dict[int, Reading]:
        """Of the experts that a layer asks for now, those that were read ahead."""
        found: dict[int, Reading] = {}
        for expert in experts:
            buffer = self._buffer_of.get(expert)
            reading = None if buffer is None else buffer.take((layer, expert))
            if reading is not None:
                found[expert] = reading
        return found

    def figures(self) -> dict[str, int]:
        """All counts, under names of their own."""
        counts = self.counts
        return {
            "prefetch_hits": counts.hits,
            "prefetch_misses": counts.misses,
            "prefetch_read_bytes": counts.read_bytes,
            "prefetch_wasted_bytes": counts.wasted_bytes,
            "prefetch_no_room": counts.no_room,
        }
