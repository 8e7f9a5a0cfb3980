"""Reads of a tier with banks.

A few pages, or pages anywhere, are served one by one. A long stretch of neighbours is served as a
whole (`stream`): it meets no conflict of its own, so its end follows from counts. From idle both
say the same, to the page's turn.
"""

from fractions import Fraction

from workers.hardware.sharing.banked import PS
from workers.hardware.sharing.banked.array import Array, Counts, ReadQueue
from workers.hardware.sharing.banked.by_pages import ByPages
from workers.hardware.sharing.banked.places import Places
from workers.hardware.sharing.banked.stream import STREAM_PAGES_LEAST, stream
from workers.hardware.sharing.base import Ended
from workers.hardware.work import Demand

# Pages anywhere of one demand that are served one by one (30 ms); more go on as these did.
ONE_BY_ONE_PAGES_MOST = 16_384


class Reads(ByPages):
    """num_sensed      pages so far, retries among them
    num_refreshed   pages of blocks written anew
    """

    def __init__(self, array: Array) -> None:
        spec, self._queue = array.spec, ReadQueue(array)
        pj_per_bit = {
            "": spec.read_pj_per_bit,
            ".channel": spec.channel_pj_per_bit + spec.buffer_pj_per_bit,
            ".refresh": spec.read_pj_per_bit + spec.write_pj_per_bit,
        }
        parts = {name: pj * 8e-12 for name, pj in pj_per_bit.items()}
        super().__init__(array, self._queue.latencies, parts)
        self._page, self.num_sensed, self.num_refreshed = spec.page_bytes, 0, 0
        self._grain = spec.read_granularity_bytes or spec.page_bytes
        self._prefetch = spec.prefetch

    def take(self, now_ns: int, demand: Demand, ended: Ended) -> tuple[int, int, int]:
        """Bytes sensed: whole pages, again where that is retried, none where a page is at hand;
        bytes moved, in whole grains; and bytes of blocks written anew.
        """
        self._array.forget(now_ns)
        num, now_ps = demand.accesses, now_ns * PS
        size = -(-demand.amount // num)
        pages = -(-size // self._page)
        if not pages:
            ended(now_ns + self._array.spec.read_latency_ns)
            return 0, 0, 0
        before = self._array.counts()
        window = demand.in_flight or self._prefetch or self._queue.depth
        places = self._queue.places if window >= self._queue.depth else Places(window)
        tail_bytes = size - (pages - 1) * self._page
        tail_bytes += -tail_bytes % self._grain
        starts = self._starts(demand)
        if pages >= STREAM_PAGES_LEAST:
            ends = [stream(self._queue, now_ps, at, pages, tail_bytes, window) for at in starts]
            end_ps = max(ends)
        else:
            end_ps = self._anywhere(now_ps, starts, pages, tail_bytes, places)
        ended(-(-end_ps // PS))
        return self._counted(before, num * pages, num * ((pages - 1) * self._page + tail_bytes))

    def _counted(self, before: Counts, num_pages: int, moved: int) -> tuple[int, int, int]:
        now = self._array.counts()
        sensed = num_pages - (now.hits - before.hits) + now.retries - before.retries
        self.num_sensed += sensed
        self.moved += moved
        refreshed = (now.refreshes - before.refreshes) * self._array.planes.block_pages
        self.num_refreshed += refreshed
        return sensed * self._page, moved, refreshed * self._page

    def counts(self) -> dict[str, int]:
        """What its pages were put to so far."""
        found = self._array.counts()
        return {
            "pages_sensed": self.num_sensed,
            "page_cache_hits": found.hits,
            "retries": found.retries,
            "refreshes": found.refreshes,
        }

    def _anywhere(
        self, now_ps: int, starts: list[int], pages: int, tail_bytes: int, places: Places
    ) -> int:
        """Accesses of some pages each, in order; returns when the last is there."""
        some = max(1, ONE_BY_ONE_PAGES_MOST // pages)
        if len(starts) <= some:
            return self._one_by_one(now_ps, starts, pages, tail_bytes, places)
        # So many are alike: what a second half takes after a first, the rest take in their turn.
        half_ps = self._one_by_one(now_ps, starts[: some // 2], pages, tail_bytes, places)
        before, counted = dict(self.latencies.counts), self._array.counts()
        end_ps = self._one_by_one(now_ps, starts[some // 2 : some], pages, tail_bytes, places)
        num, left = some - some // 2, len(starts) - some
        for bucket, count in list(self.latencies.counts.items()):
            more = (count - before.get(bucket, 0)) * left // num
            self.latencies.counts[bucket] = count + more
        self._array.repeat(counted, self._array.counts(), Fraction(left, num))
        moved_ps = (pages - 1) * self._queue.page_ps + self._array.moved_ps(tail_bytes)
        is_alone = places is self._queue.places
        return self._go_on(end_ps, (end_ps - half_ps) * left // num, left * moved_ps, is_alone)

    def _go_on(self, from_ps: int, for_ps: int, moved_ps: int, is_alone: bool) -> int:
        """The rest takes so long, and so long of buses; it leaves places and planes as it found
        them, that much later. Who has few in flight leaves them to others all the while.
        """
        for calendar in self._array.reading:
            calendar.take(from_ps, moved_ps // len(self._array.reading))
        if is_alone:
            self._array.planes.free_ps += for_ps
            self._queue.places.shift(for_ps)
        return from_ps + for_ps

    def _one_by_one(
        self, now_ps: int, starts: list[int], pages: int, tail_bytes: int, own: Places
    ) -> int:
        array, geometry, places = self._array, self._array.geometry, self._queue.places
        planes, cache, channels = array.planes, array.cache, geometry.channels
        tail_ps, end_ps = array.moved_ps(tail_bytes), now_ps
        for start in starts:
            for page in range(start, start + pages):
                begin_ps = now_ps if own is places else own.take(now_ps)
                begin_ps = places.take(begin_ps)
                plane = page % geometry.planes
                bank = plane % geometry.banks
                sensed_ps = cache.sensed_ps(bank, page)
                if sensed_ps is None:
                    sensed_ps = planes.sense(begin_ps, plane)
                    cache.keep(bank, page, sensed_ps)
                length_ps = self._queue.page_ps if page < start + pages - 1 else tail_ps
                ready_ps = max(begin_ps, sensed_ps)
                there_ps = array.reading[plane % channels].take(ready_ps, length_ps)
                places.give(there_ps)
                if own is not places:
                    own.give(there_ps)
                self.latencies.add((there_ps - begin_ps) // PS)
                end_ps = max(end_ps, there_ps)
        return end_ps

    def begins_ns(self, now_ns: int) -> int:
        return -(-self._queue.places.next_ps(now_ns * PS) // PS)

    def busy_ns(self, now_ns: int) -> int:
        """Of all buses together; of shared ones, both ways."""
        calendars = self._array.reading
        return sum(c.busy_ps(now_ns * PS) for c in calendars) // (len(calendars) * PS)
