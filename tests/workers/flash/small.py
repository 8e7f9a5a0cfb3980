"""A small flash file on a disk in memory, and ways to harm it."""

from collections.abc import Callable

from workers.flash.flash_file import FlashFile
from workers.flash.geometry import FlashGeometry
from workers.flash.opening import open_flash
from workers.host.disk import MemoryDisk
from workers.host.rng import Rng

NAME = "node/hbf"
# 5 blocks of capacity, 20 logical pages, and 2 of reserve.
GEOMETRY = FlashGeometry(
    num_blocks=8, spare_blocks=3, pages_per_block=4, page_bytes=512, endurance_spread=0,
    wear_spread_max=3,
)  # fmt: skip


def page(value: int) -> bytes:
    return bytes([value % 256]) * GEOMETRY.page_bytes


def opened(disk: MemoryDisk, geometry: FlashGeometry = GEOMETRY) -> FlashFile:
    return open_flash(disk, NAME, geometry, Rng(1))


def flip(disk: MemoryDisk, offset: int, num_bytes: int = 1) -> None:
    """Change bytes of the file, for good."""
    changed = bytes(byte ^ 0x10 for byte in disk.read_at(NAME, offset, num_bytes))
    disk.write_at(NAME, offset, changed)
    disk.sync(NAME)


def unsynced(disk: MemoryDisk) -> list[int]:
    """The offsets of what a crash may lose, a piece each."""
    return [offset for offset, _ in disk._fixed[NAME]._pieces]


def crash(disk: MemoryDisk, keeps: Callable[[int], bool]) -> None:
    """Power fails: of the unsynced pieces those stay whole whose offset `keeps`, no other."""
    offsets = unsynced(disk)
    shares = {f"{NAME}: piece {i}": 0.5 * keeps(offset) for i, offset in enumerate(offsets)}
    # What is no piece keeps its order, or is the blob itself, which stays.
    disk.crash(lambda key: shares.get(key, 0.5))


def is_commit_record(offset: int) -> bool:
    return 1024 <= offset < 2048
