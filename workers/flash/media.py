"""The flash file's bytes: what is read and written where. No decision is taken here."""

from collections.abc import Iterable, Iterator

from workers.flash.geometry import NUM_BLOCK_SECTORS, FlashGeometry
from workers.flash.pages import COUNT_MAX
from workers.flash.records import (
    COMMIT,
    COMMIT_MAGIC,
    ERASED_SECTOR,
    ERASES,
    ERASES_MAGIC,
    seal,
    superblock,
    unseal,
)
from workers.host.disk import Disk
from workers.host.sectors import SECTOR_BYTES

# Sectors of the file: superblock twice, then the two commit records.
SUPERBLOCKS, COMMITS = (0, 1), (2, 3)


def _commit(said: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """Number, sequence, digest; None where it counts what cannot be counted."""
    return said if said is None or max(said[:2]) < COUNT_MAX else None


class Media:
    """One blob of a disk, with its geometry."""

    def __init__(self, disk: Disk, name: str, geometry: FlashGeometry) -> None:
        self._disk, self._name, self._geometry = disk, name, geometry

    def sync(self) -> None:
        self._disk.sync(self._name)

    def read_sector(self, sector: int) -> bytes:
        return self._disk.read_at(self._name, sector * SECTOR_BYTES, SECTOR_BYTES)

    def write_superblock(self, sector: int, store: int, key: int) -> None:
        self._write_sector(sector, superblock(self._geometry, store, key))

    def _write_sector(self, sector: int, payload: bytes) -> None:
        self._disk.write_at(self._name, sector * SECTOR_BYTES, seal(payload, sector))

    # ------------------------------------------------------------------------------------- commits

    def read_commits(self) -> list[tuple[int, ...] | None]:
        """(number, sequence, digest) of each; of one that was never written all are 0; None of one
        that is not whole.
        """
        return [
            (0, 0, 0)
            if raw == ERASED_SECTOR
            else _commit(unseal(raw, sector, COMMIT, COMMIT_MAGIC))
            for sector in COMMITS
            for raw in [self.read_sector(sector)]
        ]

    def write_commit(self, number: int, sequence: int, digest: int) -> None:
        record = COMMIT.pack(COMMIT_MAGIC, number, sequence, digest)
        self._write_sector(COMMITS[number % 2], record)

    # -------------------------------------------------------------------------------------- blocks

    def _erases_sector(self, block: int, slot: int) -> int:
        return self._geometry.block_offset(block) // SECTOR_BYTES + slot

    def read_erases(self, block: int) -> list[int | None]:
        """Of each of the two records: the count, 0 if it was never written, None if not whole."""
        found: list[int | None] = []
        for slot in range(NUM_BLOCK_SECTORS):
            sector = self._erases_sector(block, slot)
            raw = self.read_sector(sector)
            fields = unseal(raw, sector, ERASES, ERASES_MAGIC)
            never = 0 if raw == ERASED_SECTOR else None
            is_right = fields is not None and fields[0] == block and fields[1] < COUNT_MAX
            found.append(fields[1] if fields and is_right else never)
        return found

    def write_erases(self, block: int, slot: int, erases: int) -> None:
        record = ERASES.pack(ERASES_MAGIC, block, erases)
        self._write_sector(self._erases_sector(block, slot), record)

    def erase(self, block: int) -> None:
        pages = self._geometry.pages_per_block
        zeros = bytes(pages * self._geometry.raw_page_bytes)
        self._disk.write_at(self._name, self._geometry.page_offset(block * pages), zeros)

    # --------------------------------------------------------------------------------------- pages

    def read_page(self, physical: int) -> bytes:
        size = self._geometry.raw_page_bytes
        return self._disk.read_at(self._name, self._geometry.page_offset(physical), size)

    def read_block(self, block: int) -> Iterator[tuple[int, bytes]]:
        """(physical page, its bytes), read at once."""
        pages, size = self._geometry.pages_per_block, self._geometry.raw_page_bytes
        first = block * pages
        raw = self._disk.read_at(self._name, self._geometry.page_offset(first), pages * size)
        for page in range(pages):
            yield first + page, raw[page * size : (page + 1) * size]

    def program(self, pages: Iterable[tuple[int, bytes]]) -> None:
        """Pages that follow one another in a block are one write."""
        run, begins, end = bytearray(), 0, 0
        for physical, raw in pages:
            offset = self._geometry.page_offset(physical)
            if run and offset != end:
                self._disk.write_at(self._name, begins, bytes(run))
                run.clear()
            begins = begins if run else offset
            run += raw
            end = offset + len(raw)
        if run:
            self._disk.write_at(self._name, begins, bytes(run))

    def void(self, physical: int) -> None:
        self.program([(physical, b"\xff" * self._geometry.raw_page_bytes)])
