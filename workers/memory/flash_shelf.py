"""KV blocks by key in a flash file: which pages are whose, and which are nobody's."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from workers.flash.errors import DamagedPage, FlashFull
from workers.flash.flash_file import FlashFile
from workers.memory.block_pages import Head, decode, encode, head_of
from workers.wire.roles import Array


class Item(NamedTuple):
    """A block that is to be kept."""

    key: bytes
    block: Array
    checksum: int


class Found(NamedTuple):
    """A block that a restart found, the oldest first; `num_pages` of the flash."""

    key: bytes
    checksum: int
    num_pages: int


class FlashShelf:
    """num_damaged  pages that could not be read since it was opened
    refusal      why the flash took no more, last time; empty: it has taken all

    Pages of nobody are stale while the flash still holds them, else free. New blocks are written
    over stale ones, so that the flash holds no more than it must.
    """

    def __init__(self, flash: FlashFile) -> None:
        self.flash, self.num_damaged, self.refusal = flash, 0, ""
        self._pages: dict[bytes, tuple[int, ...]] = {}
        self._number = 0
        self.found = self._take_up()
        mine = {page for pages in self._pages.values() for page in pages}
        self._stale = [page for page in flash.held() if page not in mine]
        busy = mine.union(self._stale)
        # Taken from the end: low ones first.
        logicals = range(flash.geometry.num_logical - 1, -1, -1)
        self._free = [logical for logical in logicals if logical not in busy]

    def keep(self, items: Sequence[Item]) -> int:
        """Write them; returns how many of the first are safe. The others are not there.

        Each gets a higher number than the next: within one prefix a restart too finds the last
        block the least recently used. Raises OSError where the disk fails.
        """
        self._number += len(items)
        pages: list[bytes] = []
        ends: list[int] = []
        for at, item in enumerate(items):
            number, size = self._number - at, self.flash.geometry.page_bytes
            pages += encode(item.key, item.block, item.checksum, number, size)
            ends.append(len(pages))
        self._discard(len(self._stale) - len(pages))
        places = self._write(pages)
        num_kept, first = 0, 0
        for item, end in zip(items, ends, strict=True):
            if end > len(places):
                break
            self._pages[item.key] = tuple(places[first:end])
            num_kept, first = num_kept + 1, end
        self._stale += places[first:]
        return num_kept

    def read(self, key: bytes) -> Array | None:
        """The block, verified; None if it is damaged, as is then counted."""
        pages = []
        for logical in self._pages[key]:
            try:
                pages.append(self.flash.read(logical))
            except DamagedPage:
                self.num_damaged += 1
                return None
        return decode(key, pages)

    def forget(self, keys: Sequence[bytes], *, discard: bool = False) -> None:
        """They are nobody's now: written over next, or discarded at once."""
        for key in keys:
            self._stale += self._pages.pop(key)
        if discard:
            self._discard(len(self._stale))

    def check_integrity(self, keys: Sequence[bytes]) -> None:
        """Assert that these are here, whole, and that each page is somebody's or nobody's."""
        assert set(self._pages) == set(keys), "a block has no pages, or pages no block"
        mine = [page for pages in self._pages.values() for page in pages]
        everywhere = sorted([*mine, *self._stale, *self._free])
        assert everywhere == list(range(self.flash.geometry.num_logical)), "a page is lost"
        assert sorted([*mine, *self._stale]) == self.flash.held(), "the flash holds what none knows"

    # --------------------------------------------------------------------------------------- inside

    def _write(self, pages: list[bytes]) -> list[int]:
        """Logical pages of all that the flash took, a batch after the other, each one sync."""
        most, places = self.flash.geometry.pages_per_block, []
        for first in range(0, len(pages), most):
            batch = pages[first : first + most]
            if len(batch) > len(self._stale) + len(self._free):
                self.refusal = self.flash.refusal(len(batch))
                break
            over = self._stale[-len(batch) :]
            here = over + self._free[len(self._free) - len(batch) + len(over) :]
            try:
                self.flash.write(dict(zip(here, batch, strict=True)))
            except FlashFull as error:
                self.refusal = error.message
                break
            del self._stale[len(self._stale) - len(over) :]
            del self._free[len(self._free) - len(batch) + len(over) :]
            places += here
        return places

    def _discard(self, num: int) -> None:
        """So many of the stale pages, the oldest first. A flash that has no room even to say so
        keeps them: what is written next goes over them.
        """
        gone = self._stale[: max(0, num)]
        try:
            self.flash.trim(gone)
        except FlashFull as error:
            self.refusal = error.message
            return
        del self._stale[: len(gone)]
        self._free += reversed(gone)

    def _take_up(self) -> list[Found]:
        """All blocks of which every page is there; of one key the newest."""
        parts: dict[Head, dict[int, int]] = defaultdict(dict)
        for logical, page in self.flash.contents():
            self.num_damaged += page is None
            head = None if page is None else head_of(page)
            if head is not None:
                parts[head._replace(part=0)][head.part] = logical
                self._number = max(self._number, head.number)
        found: dict[bytes, Found] = {}
        for head in sorted(parts, key=lambda head: head.number):
            where = parts[head]
            if len(where) == head.num:
                found.pop(head.key, None)
                found[head.key] = Found(head.key, head.checksum, head.num)
                self._pages[head.key] = tuple(where[part] for part in range(head.num))
        return list(found.values())
