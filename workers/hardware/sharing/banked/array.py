"""One tier's banks: planes, page caches, the buses of its channels, and who is in flight."""

from collections import OrderedDict
from fractions import Fraction
from typing import NamedTuple

from configs.schema.tier import TierSpec
from workers.hardware.latencies import Latencies
from workers.hardware.sharing.banked import PS
from workers.hardware.sharing.banked.calendar import Calendar
from workers.hardware.sharing.banked.places import Places
from workers.hardware.sharing.banked.planes import Geometry, Planes
from workers.host.rng import Rng


class PageCache:
    """Of each bank the pages that it sensed last: page -> when it was sensed."""

    def __init__(self, pages_of_a_bank: int) -> None:
        self._most = pages_of_a_bank
        self._banks: dict[int, OrderedDict[int, int]] = {}
        self.num_hits = 0

    def sensed_ps(self, bank: int, page: int) -> int | None:
        """When this page was, or will be, sensed; None if it is not kept."""
        kept = self._banks.get(bank)
        if kept is None or page not in kept:
            return None
        kept.move_to_end(page)
        self.num_hits += 1
        return kept[page]

    def keep(self, bank: int, page: int, sensed_ps: int) -> None:
        """It takes the room of the one that was read longest ago."""
        if not self._most:
            return
        kept = self._banks.setdefault(bank, OrderedDict())
        kept[page] = sensed_ps
        if len(kept) > self._most:
            kept.popitem(last=False)

    def drop(self, bank: int | None = None) -> None:
        """Something else goes through the bank, or through all of them."""
        if bank is None:
            self._banks.clear()
        else:
            self._banks.pop(bank, None)


class Counts(NamedTuple):
    """What a tier's pages were put to so far.

    hits        found in a page cache, and so not sensed
    retries     sensed a second time
    refreshes   blocks written anew because reading had disturbed them
    """

    hits: int
    retries: int
    refreshes: int


class Array:
    """What reads and writes of one tier share.

    reading, writing   the bus of each channel; the same where one bus carries both ways
    """

    def __init__(self, spec: TierSpec, rng: Rng, name: str) -> None:
        self.spec, self.rng, self.name = spec, rng, name
        self.geometry = geometry = Geometry.of(spec)
        self.planes = Planes(spec, geometry, rng, name)
        self.cache = PageCache(spec.page_cache)
        self.reading = [Calendar() for _ in range(geometry.channels)]
        self.writing = (
            self.reading if spec.shared_bus else [Calendar() for _ in range(geometry.channels)]
        )
        self._num_drawn = 0

    def moved_ps(self, num_bytes: int) -> int:
        """How long so many bytes take the bus of one channel, rounded up."""
        spec = self.spec
        rate = max(spec.sustained_read_bytes_per_s, spec.sustained_write_bytes_per_s)
        return -(-num_bytes * 10**12 * self.geometry.channels // rate)

    def counts(self) -> Counts:
        planes = self.planes
        return Counts(self.cache.num_hits, planes.num_retries, planes.num_refreshes)

    def repeat(self, before: Counts, now: Counts, times: Fraction) -> None:
        """What came between two looks comes so many times more, rounded down."""
        self.cache.num_hits += int((now.hits - before.hits) * times)
        self.planes.num_retries += int((now.retries - before.retries) * times)
        self.planes.num_refreshes += int((now.refreshes - before.refreshes) * times)

    def draw(self, num: int) -> list[int]:
        """Pages drawn at random, each time others."""
        self._num_drawn += 1
        if num == 1:
            where = self.rng.uniform(self.name, "pages", self._num_drawn)
            return [int(where * self.geometry.pages)]
        generator = self.rng.generator(self.name, "pages", self._num_drawn)
        pages: list[int] = generator.integers(0, self.geometry.pages, num).tolist()
        return pages

    def forget(self, now_ns: int) -> None:
        """What is past is settled."""
        for calendar in self.reading:
            calendar.forget(now_ns * PS)
        if self.writing is not self.reading:
            for calendar in self.writing:
                calendar.forget(now_ns * PS)


class ReadQueue:
    """Reads in flight of one tier, and how long each took from its place on.

    page_ps   a page's turn on its channel's bus
    """

    def __init__(self, array: Array) -> None:
        self.array, self.depth = array, array.spec.reads_in_flight_most
        self.places, self.latencies = Places(self.depth), Latencies()
        self.page_ps = array.moved_ps(array.spec.page_bytes)
