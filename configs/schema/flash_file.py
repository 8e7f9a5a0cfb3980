"""A real file behind a flash tier: how large it is, and how it is cut into blocks."""

from pydantic import Field

from configs.schema.section import Section
from configs.units import SIZE, Bytes

# Of the file, spares included: it is read whole when its node starts, and lies in memory in the
# virtual world. 256 MiB of blocks took 3.4 s on a busy core (measured).
FILE_BYTES_MOST = 1 << 28
# Pages are whole sectors of a disk.
SECTOR_BYTES, PAGE_BYTES_MOST = 512, 1 << 20


class FlashFileSpec(Section):
    """capacity_bytes    what it holds when new, in whole blocks; far less than the tier emulates
    pages_per_block   what is erased whole. ASSUMED
    spare_blocks      beyond the capacity: room to reclaim, then to replace what wears out. ASSUMED
    wear_spread       erase counts may differ by so much before cold pages move. ASSUMED
    """

    capacity_bytes: Bytes = Field(validation_alias="capacity", serialization_alias="capacity", gt=0)
    pages_per_block: int = Field(default=64, ge=1, le=1 << 16)
    spare_blocks: int = Field(default=4, ge=2, le=1 << 20)
    wear_spread: int = Field(default=32, ge=1, le=1 << 40)

    def data_blocks(self, page_bytes: int) -> int:
        """Blocks of its capacity, which is rounded down to them."""
        return self.capacity_bytes // (self.pages_per_block * page_bytes)

    def usable_bytes(self, page_bytes: int) -> int:
        """Of the pages that it holds when new."""
        return self.data_blocks(page_bytes) * self.pages_per_block * page_bytes


def problem_of_file(
    file: FlashFileSpec, page_bytes: int, capacity_bytes: int, endurance_cycles: int | None
) -> str:
    """Why a tier cannot have this file, naming its key and what would be right; empty if it can."""
    if endurance_cycles is None:
        return (
            "the tier has no endurance_cycles, and its file is flash, which wears: say how many "
            "program/erase cycles a page survives, or leave file out"
        )
    page = SIZE.format(page_bytes)
    if page_bytes % SECTOR_BYTES or page_bytes > PAGE_BYTES_MOST:
        return (
            f"page is {page}: behind a file it is a multiple of {SECTOR_BYTES} B, at most "
            f"{SIZE.format(PAGE_BYTES_MOST)}"
        )
    block_bytes = file.pages_per_block * page_bytes
    capacity = SIZE.format(file.capacity_bytes)
    if file.capacity_bytes < block_bytes:
        return (
            f"capacity is {capacity}: it holds at least one block of {file.pages_per_block} pages "
            f"of {page}, {SIZE.format(block_bytes)}"
        )
    whole = file.usable_bytes(page_bytes) + file.spare_blocks * block_bytes
    most = min(FILE_BYTES_MOST, capacity_bytes)
    if whole > most:
        limit = "all of the tier" if most == capacity_bytes else "the most that a file may have"
        return (
            f"capacity is {capacity}: with {file.spare_blocks} spare blocks the file has "
            f"{SIZE.format(whole)}, and {SIZE.format(most)} is {limit}"
        )
    return ""
