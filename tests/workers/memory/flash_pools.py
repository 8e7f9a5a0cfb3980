"""A small pool in a flash file on a disk in memory, and ways to harm it."""

import numpy as np

from workers.flash.geometry import FlashGeometry
from workers.flash.opening import open_flash
from workers.host.disk import MemoryDisk
from workers.host.rng import Rng
from workers.memory.flash_pool import FlashPool
from workers.wire.roles import Array

NAME = "memory-0.flash/hbf"
PAGE_BYTES = 512
# 40 logical pages; a block below takes 3, so 13 fit.
GEOMETRY = FlashGeometry(
    num_blocks=13, spare_blocks=3, pages_per_block=4, page_bytes=PAGE_BYTES, wear_spread_max=3
)
BLOCK_PAGES, BLOCKS_MOST = 3, 13


def key_of(value: int) -> bytes:
    return value.to_bytes(16, "big")


def block_of(value: int) -> Array:
    """1,200 bytes, others of every value."""
    return np.arange(300, dtype=np.float32).reshape(2, 150) + np.float32(1000 * value)


def opened(
    disk: MemoryDisk, geometry: FlashGeometry = GEOMETRY, most_bytes: int = 1 << 20
) -> FlashPool:
    return FlashPool(open_flash(disk, NAME, geometry, Rng(1)), most_bytes)


def put(pool: FlashPool, *values: int) -> int:
    """How many are new."""
    return len(pool.put([key_of(v) for v in values], [block_of(v) for v in values]).new)


def held(pool: FlashPool, up_to: int) -> list[int]:
    """Those below that are here; does not count as a use."""
    return [v for v in range(up_to) if pool.contains(key_of(v))]


def there(pool: FlashPool, up_to: int) -> list[int]:
    """The same, and each of them is served as it was put."""
    found = held(pool, up_to)
    for value in found:
        (block,) = pool.get([key_of(value)])
        assert np.array_equal(block, block_of(value))
        assert block.dtype == np.float32 and not block.flags.writeable
    return found


def flip(disk: MemoryDisk, offset: int) -> None:
    """One bit of the file, for good."""
    disk.write_at(NAME, offset, bytes([disk.read_at(NAME, offset, 1)[0] ^ 0x10]))
    disk.sync(NAME)
