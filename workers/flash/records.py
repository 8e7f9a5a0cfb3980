"""Records of one sector each: superblock, commit, erase count. A checksum covers all of it.

Each exists twice. What is rewritten alternates between its two sectors, so that a torn write leaves
the one before.
"""

import struct

from xxhash import xxh3_64_intdigest

from workers.flash.geometry import FlashGeometry
from workers.host.sectors import SECTOR_BYTES

ERASED_SECTOR = bytes(SECTOR_BYTES)
SUM = struct.Struct("<Q")
SUPERBLOCK = struct.Struct("<8s7Qd2Q")  # magic, version, the geometry, store, key of the limits
COMMIT = struct.Struct("<8s3Q")  # magic, number of the record, sequence, digest
ERASES = struct.Struct("<8s2Q")  # magic, block, erases
MAGIC, COMMIT_MAGIC, ERASES_MAGIC = b"PFFLASH1", b"PFCOMMIT", b"PFERASES"
VERSION = 1


def seal(payload: bytes, sector: int) -> bytes:
    """A sector of the file, which is whole only at this place."""
    body = payload.ljust(SECTOR_BYTES - SUM.size, b"\0")
    return body + SUM.pack(xxh3_64_intdigest(body, sector))


def unseal(raw: bytes, sector: int, layout: struct.Struct, magic: bytes) -> tuple[int, ...] | None:
    """The record's fields behind its magic, or None if it is not whole."""
    body, found = raw[: -SUM.size], raw[-SUM.size :]
    if found != SUM.pack(xxh3_64_intdigest(body, sector)):
        return None
    said, *fields = layout.unpack_from(body)
    return tuple(fields) if said == magic else None


def superblock(geometry: FlashGeometry, store: int, key: int) -> bytes:
    g = geometry
    return SUPERBLOCK.pack(
        MAGIC, VERSION, g.num_blocks, g.spare_blocks, g.pages_per_block, g.page_bytes,
        g.endurance_cycles, g.wear_spread_max, g.endurance_spread, store, key,
    )  # fmt: skip


def of_superblock(fields: tuple[int, ...]) -> tuple[FlashGeometry, int, int]:
    """Geometry, store and the key that the blocks' limits are drawn with. Raises ValueError."""
    version, num_blocks, spares, pages, page_bytes, cycles, spread_max, spread, store, key = fields
    if version != VERSION:
        raise ValueError(f"the flash file has version {version}: this program reads {VERSION}")
    geometry = FlashGeometry(num_blocks, spares, pages, page_bytes, cycles, spread, spread_max)
    return geometry, store, key
