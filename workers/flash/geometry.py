"""How a flash file is laid out, and how long flash lives.

    file    4 sectors of its own: superblock twice, commit records A and B │ block 0 │ block 1 ...
    block   2 sectors: erase counts A and B │ page 0 │ page 1 ...
    page    header │ body │ the same header again: page_bytes and one spare sector, as the spare
            area of NAND; no sector holds parts of two pages

All that is written is a whole number of sectors, so that no torn write reaches what is beside it.
"""

from dataclasses import dataclass

from configs.schema.tier import TierSpec
from workers.host.sectors import SECTOR_BYTES

NUM_FILE_SECTORS, NUM_BLOCK_SECTORS = 4, 2
# Free at all times, so that any block's pages can move: one to move into, one for the next batch.
RESERVE_BLOCKS = 2
PAGE_BYTES_MAX, NUM_PAGES_MAX = 1 << 20, 1 << 28


@dataclass(frozen=True)
class FlashGeometry:
    """Raises ValueError naming the key, its value and what would be right.

    page_bytes        what is written and read whole; 4,096 in the OCP HBF specification 0.7.0
    pages_per_block   what is erased whole, and the most that one batch writes. ASSUMED
    num_blocks        all of them, spares included
    spare_blocks      those beyond the capacity, RESERVE_BLOCKS at least; worn blocks use the rest
                      of them up before capacity shrinks
    endurance_cycles  program/erase cycles of the nominal block; 1e5 for SLC in Characterizing HBF
                      for LLM Serving (2026)
    endurance_spread  each block's own limit lies within this share of the nominal. ASSUMED
    wear_spread_max   erase counts may differ by this much before cold pages move. ASSUMED
    """

    num_blocks: int
    spare_blocks: int = 4
    pages_per_block: int = 64
    page_bytes: int = 4096
    endurance_cycles: int = 100_000
    endurance_spread: float = 0.1
    wear_spread_max: int = 32

    def __post_init__(self) -> None:
        bounds = {
            "page_bytes": (SECTOR_BYTES, PAGE_BYTES_MAX),
            "pages_per_block": (1, 1 << 16),
            "spare_blocks": (RESERVE_BLOCKS, self.num_blocks - 1),
            "num_blocks": (RESERVE_BLOCKS + 1, NUM_PAGES_MAX // max(1, self.pages_per_block)),
            "endurance_cycles": (1, 1 << 40),
            "endurance_spread": (0, 0.99),
            "wear_spread_max": (1, 1 << 40),
        }
        for key, (least, most) in bounds.items():
            value = getattr(self, key)
            if not least <= value <= most:
                raise ValueError(f"{key} is {value}: it must be in {least} .. {most}")
        if self.page_bytes % SECTOR_BYTES:
            raise ValueError(
                f"page_bytes is {self.page_bytes}: it must be a multiple of {SECTOR_BYTES}"
            )

    @property
    def raw_page_bytes(self) -> int:
        return self.page_bytes + SECTOR_BYTES

    @property
    def block_bytes(self) -> int:
        return NUM_BLOCK_SECTORS * SECTOR_BYTES + self.pages_per_block * self.raw_page_bytes

    @property
    def file_bytes(self) -> int:
        return self.block_offset(self.num_blocks)

    @property
    def num_physical(self) -> int:
        return self.num_blocks * self.pages_per_block

    @property
    def num_logical(self) -> int:
        """Logical pages of a new device: `0 .. num_logical - 1`."""
        return (self.num_blocks - self.spare_blocks) * self.pages_per_block

    def block_offset(self, block: int) -> int:
        return NUM_FILE_SECTORS * SECTOR_BYTES + block * self.block_bytes

    def page_offset(self, physical: int) -> int:
        block, page = divmod(physical, self.pages_per_block)
        spare = NUM_BLOCK_SECTORS * SECTOR_BYTES
        return self.block_offset(block) + spare + page * self.raw_page_bytes

    def place(self, physical: int) -> str:
        block, page = divmod(physical, self.pages_per_block)
        return f"page {page} of block {block}"


def geometry_of(tier: TierSpec) -> FlashGeometry:
    """Of the file behind a tier, which has one."""
    assert tier.file is not None, "a tier with a file"
    assert tier.endurance_cycles is not None, "a file is flash, which wears"
    file = tier.file
    return FlashGeometry(
        num_blocks=file.data_blocks(tier.page_bytes) + file.spare_blocks,
        spare_blocks=file.spare_blocks,
        pages_per_block=file.pages_per_block,
        page_bytes=tier.page_bytes,
        endurance_cycles=tier.endurance_cycles,
        wear_spread_max=file.wear_spread,
    )
