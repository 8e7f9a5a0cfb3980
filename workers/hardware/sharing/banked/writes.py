"""Writes of a tier with banks: whole pages, each with its start-up, programming, in its plane.

Bytes go over the channel's bus, have their turn at the tier's write bandwidth (power allows no more
pages to be programmed), and are programmed by the page's plane, which reads nothing meanwhile.
"""

import numpy as np

from workers.hardware.latencies import Latencies
from workers.hardware.sharing.banked import PS
from workers.hardware.sharing.banked.array import Array
from workers.hardware.sharing.banked.by_pages import ByPages
from workers.hardware.sharing.banked.places import Places
from workers.hardware.sharing.banked.stream import ROUNDS_MOST, STREAM_PAGES_LEAST, counts_of
from workers.hardware.sharing.base import Ended
from workers.hardware.work import Demand


class Writes(ByPages):
    def __init__(self, array: Array) -> None:
        parts = {"": (array.spec.write_pj_per_bit + array.spec.channel_pj_per_bit) * 8e-12}
        super().__init__(array, Latencies(), parts)
        spec, self._page = array.spec, array.spec.page_bytes
        self._depth, self._places = spec.queue_depth, Places(spec.queue_depth)
        self._free_ps = self._taken_ps = 0  # of the tier's write bandwidth
        self._bus_ps = array.moved_ps(self._page)
        self._turn_ps = -(-self._page * 10**12 // spec.sustained_write_bytes_per_s)

    def take(self, now_ns: int, demand: Demand, ended: Ended) -> tuple[int]:
        """Bytes programmed: whole pages."""
        self._array.forget(now_ns)
        num, end_ps = demand.accesses, now_ns * PS
        pages = -(-demand.amount // (num * self._page))
        if not pages:
            ended(now_ns + self._array.spec.write_latency_ns)
            return (0,)
        window = min(demand.in_flight or self._depth, self._depth)
        own = self._places if window == self._depth else Places(window)
        starts = self._starts(demand)
        for start in starts:
            if pages >= STREAM_PAGES_LEAST:
                there_ps = self._stream(now_ns * PS, start, pages, window)
            else:
                there_ps = self._one_by_one(now_ns * PS, start, pages, own)
            end_ps = max(end_ps, there_ps)
        ended(-(-end_ps // PS))
        programmed = num * pages * self._page
        self.moved += programmed
        return (programmed,)

    def _one_by_one(self, now_ps: int, start: int, num: int, own: Places) -> int:
        array, geometry, places, end_ps = self._array, self._array.geometry, self._places, now_ps
        for page in range(start, start + num):
            begin_ps = now_ps if own is places else own.take(now_ps)
            begin_ps = places.take(begin_ps)
            self._have_turns(begin_ps, 1)
            plane = page % geometry.planes
            moved_ps = array.writing[plane % geometry.channels].take(begin_ps, self._bus_ps)
            array.cache.drop(plane % geometry.banks)
            there_ps = array.planes.program(max(self._free_ps, moved_ps), plane)
            places.give(there_ps)
            if own is not places:
                own.give(there_ps)
            self.latencies.add((there_ps - begin_ps) // PS)
            end_ps = max(end_ps, there_ps)
        return end_ps

    def _stream(self, now_ps: int, start: int, num: int, window: int) -> int:
        """Neighbours as a whole: held up by their turns, by their planes, or by the places, each of
        which a page has for as long as it is programmed.
        """
        array, geometry, planes = self._array, self._array.geometry, self._array.planes
        window = min(num, window)
        begin_ps, _ = self._places.take_many(now_ps, window)
        self._have_turns(begin_ps, num)
        pages = counts_of(geometry, start, num)
        after = (start + num - 1 - np.arange(geometry.planes)) % geometry.planes
        last_ps = self._free_ps - after * self._turn_ps + planes.program_ps
        queued_ps = np.maximum(planes.free_ps, begin_ps) + pages * planes.program_ps
        planes.free_ps = np.where(pages > 0, np.maximum(last_ps, queued_ps), planes.free_ps)
        rounds_ps = -(-num // window) * planes.program_ps
        end_ps = max(int(planes.free_ps[pages > 0].max()), begin_ps + rounds_ps)
        parts = min(ROUNDS_MOST, -(-num // geometry.channels))
        for over in array.writing:
            for part in range(parts):
                at_ps = begin_ps + (end_ps - begin_ps) * part // parts
                over.take(at_ps, -(-self._bus_ps * num // (geometry.channels * parts)))
        self._places.give(end_ps, 0, window)
        held_ps = (end_ps - begin_ps) * window // num
        self.latencies.add(max(planes.program_ps + self._turn_ps, held_ps) // PS, num)
        array.cache.drop()
        return end_ps

    def _have_turns(self, begin_ps: int, num: int) -> None:
        self._free_ps = max(begin_ps, self._free_ps) + num * self._turn_ps
        self._taken_ps += num * self._turn_ps

    def begins_ns(self, now_ns: int) -> int:
        return max(now_ns, self._free_ps // PS)

    def busy_ns(self, now_ns: int) -> int:
        """Of its bandwidth for writes."""
        to_come = max(0, self._free_ps - now_ns * PS)
        return max(0, self._taken_ps - to_come) // PS
