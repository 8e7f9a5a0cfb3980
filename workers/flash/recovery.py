"""What a flash file holds, from nothing but its pages.

A commit record says up to which sequence pages have been synced. What is not whole is

    up to there    damaged: it was whole, and acknowledged; who it was stays known, and reading it
                   says that it is damaged
    after it       torn: its batch was promised to nobody, and goes with all its pages

A batch after the last record that is whole in all its pages was synced, or might have been: it
stands. Torn pages are voided before anything is written, so no later record ever covers them.
"""

from collections import defaultdict
from dataclasses import dataclass, field, replace

import numpy as np

from workers.flash.blocks import Blocks, Counts, block_limits
from workers.flash.errors import DamagedFlash
from workers.flash.geometry import FlashGeometry
from workers.flash.media import Media
from workers.flash.page_map import PageMap
from workers.flash.pages import Header, Kind, identify, ids_of, is_whole, may_say

SHOWN_MAX = 8


@dataclass(frozen=True)
class Recovered:
    """page_map, blocks   what they were when the last batch that stands had been written
    sequence, commit      of the next page, and the number of the last commit record
    committed             the last sequence that stands
    unreadable            places that were not whole: torn, or damaged since
    num_torn              pages that were promised to nobody, and are void now
    """

    page_map: PageMap
    blocks: Blocks
    sequence: int
    commit: int
    committed: int
    unreadable: tuple[str, ...]
    num_torn: int

    def with_unreadable(self, places: list[str]) -> "Recovered":
        return replace(self, unreadable=(*places, *self.unreadable))


@dataclass
class Scan:
    """All that one pass over the file finds. Arrays are [num_physical]."""

    geometry: FlashGeometry
    committed: int
    sequence: Counts = field(init=False)
    logical: Counts = field(init=False)
    lists: dict[int, tuple[Kind, tuple[int, ...]]] = field(default_factory=dict)
    batches: dict[int, list[tuple[int, Header]]] = field(default_factory=lambda: defaultdict(list))
    torn: list[int] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    digest: int = 0
    last: int = 0

    def __post_init__(self) -> None:
        self.sequence = np.zeros(self.geometry.num_physical, np.int64)
        self.logical = np.zeros(self.geometry.num_physical, np.int64)

    def page(self, physical: int, raw: bytes, store: int) -> Header | None:
        """One page that is neither erased nor void; its header, if it has any that is whole."""
        header = identify(raw, physical, store)
        if header is not None and not may_say(header, self.geometry):
            header = None
        whole = header is not None and is_whole(raw, header)
        if not whole:
            self.unreadable.append(self.geometry.place(physical))
        if header is None or not (whole or header.sequence <= self.committed):
            self.torn.append(physical)
            return header
        self.last = max(self.last, header.sequence)
        if header.kind is Kind.DATA:
            self.logical[physical] = header.logical
        elif (ids := self._listed(raw, header)) is not None:
            self.lists[physical] = header.kind, ids
        else:
            self.torn.append(physical)
            return header
        self.sequence[physical] = header.sequence
        if header.sequence > self.committed:
            self.batches[header.sequence - header.index].append((physical, header))
        return header

    def _listed(self, raw: bytes, header: Header) -> tuple[int, ...] | None:
        ids = ids_of(raw, header)
        is_right = ids is not None and all(one < self.geometry.num_logical for one in ids)
        return ids if is_right else None

    def decide(self) -> int:
        """Which batches after the last commit record stand; the last sequence that does."""
        stands = self.committed
        for first in sorted(self.batches):
            pages = self.batches[first]
            if len(pages) == pages[0][1].num:
                stands, self.digest = first + len(pages) - 1, pages[0][1].digest
                continue
            for physical, _ in pages:
                self.torn.append(physical)
                self.sequence[physical] = 0
        return stands

    def page_map(self) -> PageMap:
        """In the order in which they were programmed, so that the newest stays."""
        found = PageMap(self.geometry)
        order = np.argsort(self.sequence, kind="stable")
        for physical in order[np.count_nonzero(self.sequence == 0) :]:
            kind, ids = self.lists.get(int(physical), (Kind.DATA, (int(self.logical[physical]),)))
            found.place(int(physical), kind, ids, int(self.sequence[physical]))
        found.settle_all()
        return found


def recover(media: Media, geometry: FlashGeometry, store: int, key: int) -> Recovered:
    """Reads all of the file, a block at a time, and repairs what a crash has left of it. Raises
    DamagedFlash if what was acknowledged is not all there and nobody knows which page it is.
    """
    commits = media.read_commits()
    number, committed, digest = max((c for c in commits if c is not None), default=(0, 0, 0))
    scan = Scan(geometry, committed, digest=digest)
    scan.unreadable += [f"commit record {i}" for i, c in enumerate(commits) if c is None]
    blocks, dirty = _scan_blocks(media, scan, store, block_limits(geometry, key))
    stands = scan.decide()
    page_map = scan.page_map()
    _check(page_map, scan)
    for physical in scan.torn:
        media.void(physical)
    for block in dirty:
        media.erase(block)
    # What was read may be, after kill -9, in no more than the machine's memory: it is served now.
    media.sync()
    media.write_commit(number + 1, stands, page_map.digest)
    _reopen(blocks, page_map, geometry.pages_per_block)
    return Recovered(
        page_map,
        blocks,
        sequence=max(stands, scan.last) + 1,
        commit=number + 1,
        committed=stands,
        unreadable=tuple(scan.unreadable),
        num_torn=len(scan.torn),
    )


def _scan_blocks(media: Media, scan: Scan, store: int, limits: Counts) -> tuple[Blocks, list[int]]:
    """The blocks as they are, and the bad ones that are not erased."""
    geometry, dirty = scan.geometry, []
    erases = np.zeros(geometry.num_blocks, np.int64)
    written = np.zeros(geometry.num_blocks, np.int64)
    empty, void = (bytes([byte]) * geometry.raw_page_bytes for byte in (0, 255))
    for block in range(geometry.num_blocks):
        erases[block] = _erases(media, block, scan.unreadable)
        is_bad = erases[block] >= limits[block]
        for physical, raw in media.read_block(block):
            if raw == empty:
                continue
            if is_bad:
                scan.unreadable.append(geometry.place(physical))
                dirty.append(block)
                continue
            written[block] = physical % geometry.pages_per_block + 1
            header = scan.page(physical, raw, store) if raw != void else None
            if header is not None:
                erases[block] = max(erases[block], header.erases)
    return Blocks(geometry, limits, erases, written), sorted(set(dirty))


def _erases(media: Media, block: int, unreadable: list[str]) -> int:
    """The block's count; a record that is not whole is written anew."""
    slots = media.read_erases(block)
    count = max((slot for slot in slots if slot is not None), default=0)
    for slot, found in enumerate(slots):
        if found is None:
            unreadable.append(f"erase record {slot} of block {block}")
            media.write_erases(block, slot, count)
    return count


def _check(page_map: PageMap, scan: Scan) -> None:
    if page_map.digest == scan.digest:
        return
    places = ", ".join(scan.unreadable[:SHOWN_MAX]) or "none"
    more = len(scan.unreadable) - SHOWN_MAX
    raise DamagedFlash(
        f"the flash file does not hold all that was acknowledged: {page_map.num_held} pages are "
        f"found, their digest is {page_map.digest:#x} and not {scan.digest:#x}; unreadable: "
        f"{places}{f' and {more} more' if more > 0 else ''}",
        unreadable=list(scan.unreadable[:SHOWN_MAX]),
    )


def _reopen(blocks: Blocks, page_map: PageMap, per_block: int) -> None:
    """Go on in the block that was written last; of others that are not full the rest is unused."""
    partial = np.flatnonzero((blocks.written > 0) & (blocks.written < per_block))
    if len(partial):
        last = max(partial, key=lambda block: page_map.newest(int(block)))
        blocks.written[partial[partial != last]] = per_block
        blocks.open = int(last)
