"""What is programmed, in order: batches, the room they need, and what reclaiming moves for it.

    batch ─▶ room? ─▶ pages programmed, one after the other ─▶ sync ─▶ commit record
               └─ no ─▶ reclaim: a block's live pages move (as a batch), then it is erased

A commit record is written behind the sync that it tells of and becomes safe with the next one: one
sync a batch. Losing power before that loses only the record, and the batch is then known by being
whole. So a batch that was acknowledged last, whose record is lost by a power failure, and in which
a byte changes after that as well, is taken for torn: two faults at once.
"""

from collections.abc import Iterator
from typing import TypeAlias

from workers.flash.effort import Effort
from workers.flash.errors import FlashFull
from workers.flash.geometry import FlashGeometry
from workers.flash.media import Media
from workers.flash.pages import (
    Header,
    Kind,
    data_of,
    encode,
    identify,
    ids_max,
    is_whole,
    list_body,
)
from workers.flash.recovery import Recovered

Program: TypeAlias = tuple[Kind, tuple[int, ...], bytes]


class FlashLog:
    """page_map, blocks  what is where, and how worn
    num_asked, num_moved  pages programmed since the file was opened: batches, and what reclaiming
                          and levelling added to them
    effort      told of all that the device does; None: nobody asks
    """

    def __init__(self, media: Media, geometry: FlashGeometry, store: int, found: Recovered) -> None:
        self.page_map, self.blocks = found.page_map, found.blocks
        self.num_asked = self.num_moved = 0
        self.effort: Effort | None = None
        self._media, self._geometry, self._store = media, geometry, store
        self._sequence, self._commit_number = found.sequence, found.commit
        # Up to which sequence the last commit record goes, and the last one that is safe.
        self._committed, self._safe = found.committed, 0

    def write(self, programs: list[Program]) -> None:
        """One batch, safe when this returns; at most a block's pages. Raises FlashFull, and then
        nothing but the pages' places has changed.
        """
        self._make_room(len(programs))
        self._commit(programs)
        self.num_asked += len(programs)

    def read(self, logical: int, physical: int, sequence: int) -> bytes | None:
        """The page's data, or None if it is not the one that was written there."""
        if self.effort is not None:
            self.effort.read.append(physical)
        return self._checked(self._media.read_page(physical), logical, physical, sequence)

    def contents(self) -> Iterator[tuple[int, bytes | None]]:
        """All pages held, a block at a time: (logical, its data); None of one that is damaged."""
        for block in range(self._geometry.num_blocks):
            live = self.page_map.live(block)
            raw = dict(self._media.read_block(block)) if live else {}
            for physical, kind, ids in live:
                for logical in ids:
                    if kind is Kind.DATA:
                        sequence = self.page_map.find(logical)[2]
                        yield logical, self._checked(raw[physical], logical, physical, sequence)
                    elif kind is Kind.LOST:
                        yield logical, None

    def _checked(self, raw: bytes, logical: int, physical: int, sequence: int) -> bytes | None:
        header = identify(raw, physical, self._store)
        if header is None or (header.logical, header.sequence) != (logical, sequence):
            return None
        return data_of(raw, header) if is_whole(raw, header) else None

    def lists(self, kind: Kind, logicals: list[int]) -> list[Program]:
        size = ids_max(self._geometry)
        chunks = (tuple(logicals[i : i + size]) for i in range(0, len(logicals), size))
        return [(kind, ids, list_body(ids, self._geometry)) for ids in chunks]

    def full(self, num_pages: int) -> FlashFull:
        """The error that refuses a batch of so many."""
        capacity = self.blocks.capacity_pages(self.page_map.block_live)
        held, num_bad = self.page_map.num_held, int(self.blocks.is_bad.sum())
        return FlashFull(
            f"no room to write {num_pages} pages: {held} are held, {capacity} fit, of "
            f"{self._geometry.num_logical} of a new device; {num_bad} of "
            f"{self._geometry.num_blocks} blocks are out of service, and "
            f"{self.blocks.num_worn} in their last cycle",
            num_held=held,
            capacity_pages=capacity,
            num_bad_blocks=num_bad,
        )

    def _commit(self, programs: list[Program]) -> None:
        """Program them, as one batch that stands or falls together, and sync."""
        places = list(self.blocks.take(len(programs)))
        if self.effort is not None:
            self.effort.programmed += places
        for index, (physical, (kind, ids, _)) in enumerate(zip(places, programs, strict=True)):
            self.page_map.place(physical, kind, ids, self._sequence + index)
        self._media.program(
            (physical, self._encoded(physical, program, index, len(programs)))
            for index, (physical, program) in enumerate(zip(places, programs, strict=True))
        )
        self._sequence += len(programs)
        self._sync()
        self._record(self._sequence - 1)

    def _encoded(self, physical: int, program: Program, index: int, num: int) -> bytes:
        kind, ids, payload = program
        header = Header(
            kind=kind,
            store=self._store,
            logical=ids[0] if kind is Kind.DATA else len(ids),
            sequence=self._sequence + index,
            digest=self.page_map.digest,
            index=index,
            num=num,
            length=len(payload) if kind is Kind.DATA else 8 * len(ids),
            erases=int(self.blocks.erases[physical // self._geometry.pages_per_block]),
        )
        return encode(header, payload, self._geometry, physical)

    def _sync(self) -> None:
        self._media.sync()
        self._safe = self._committed
        self.page_map.settle()

    def _record(self, committed: int) -> None:
        self._commit_number += 1
        self._committed = committed
        self._media.write_commit(self._commit_number, committed, self.page_map.digest)

    def _make_room(self, num_pages: int) -> None:
        """A whole block stays free behind the batch: what reclaiming moves needs no more."""
        reserve = self._geometry.pages_per_block
        while True:
            for block in self.blocks.retirable(self.page_map.block_live):
                self._erase(block)
            if self.blocks.num_free_pages - num_pages >= reserve:
                return
            victim = self.blocks.victim(self.page_map.block_live)
            if victim is None:
                raise self.full(num_pages)
            self._reclaim(victim)
            cold = self.blocks.cold(self.page_map.block_live)
            if cold is not None:  # one at a time: levelling adds no more than reclaiming does
                self._reclaim(cold)

    def _reclaim(self, block: int) -> None:
        """Move what is live in it, then erase it. A page that is damaged stays known as such."""
        if block == self.blocks.open:
            self.blocks.open = None
        programs: list[Program] = []
        listed: dict[Kind, list[int]] = {Kind.TRIM: [], Kind.LOST: []}
        for physical, kind, ids in self.page_map.live(block):
            if kind is not Kind.DATA:
                listed[kind] += ids
                continue
            data = self.read(ids[0], physical, self.page_map.find(ids[0])[2])
            if data is None:
                listed[Kind.LOST] += ids
            else:
                programs.append((kind, ids, data))
        for kind, logicals in listed.items():
            programs += self.lists(kind, logicals)
        if programs:
            self._commit(programs)
            self.num_moved += len(programs)
        self._erase(block)

    def _erase(self, block: int) -> None:
        if self.page_map.newest(block) > self._safe:
            # Its pages vouch for a batch of which no record is safe: both records must first.
            self._sync()
            self._record(self._committed)
            self._sync()
        if self.effort is not None:
            self.effort.erased.append(block)
        self.page_map.erase(block)
        self.blocks.erase(block)
        count = int(self.blocks.erases[block])
        self._media.write_erases(block, count % 2, count)
        self._media.erase(block)
