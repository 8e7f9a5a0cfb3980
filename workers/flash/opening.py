"""A flash file found on a disk, or made there."""

from dataclasses import fields

from workers.flash.errors import DamagedFlash
from workers.flash.flash_file import FlashFile
from workers.flash.geometry import FlashGeometry
from workers.flash.media import SUPERBLOCKS, Media
from workers.flash.records import MAGIC, SUPERBLOCK, of_superblock, unseal
from workers.flash.recovery import recover
from workers.host.disk import Disk
from workers.host.rng import Rng
from workers.host.sectors import SECTOR_BYTES

CHUNK_BYTES = 1 << 20


def open_flash(disk: Disk, name: str, geometry: FlashGeometry, rng: Rng) -> FlashFile:
    """The flash in the blob `name`, made there if there is none yet; then all that is in it was
    acknowledged by an earlier one, and `recovered` says what was found.

    rng   draws a new file's number and its blocks' limits; later ones keep what was drawn

    Raises ValueError if the file has another geometry, naming the key; DamagedFlash if it cannot
    be told what the file held.
    """
    known = _superblocks(disk, name)
    if not any(known) and _is_blank(disk, name):
        known = _format(disk, name, geometry, rng)
    found = next((superblock for superblock in known if superblock), None)
    if found is None:
        raise DamagedFlash(f"{name!r} holds pages, and neither superblock can be read")
    there, store, key = found
    for field in fields(FlashGeometry):
        has, wanted = getattr(there, field.name), getattr(geometry, field.name)
        if has != wanted:
            raise ValueError(f"{field.name} is {wanted}: the flash file {name!r} has {has}")
    size = disk.size_bytes(name)
    if size != geometry.file_bytes:
        raise DamagedFlash(f"{name!r} has {size} bytes: {geometry.file_bytes} were written")
    media = Media(disk, name, geometry)
    for sector, superblock in zip(SUPERBLOCKS, known, strict=True):
        if not superblock:
            media.write_superblock(sector, store, key)
    recovered = recover(media, geometry, store, key)
    lacking = [f"superblock {i}" for i, superblock in enumerate(known) if not superblock]
    return FlashFile(media, geometry, store, recovered.with_unreadable(lacking))


def _superblocks(disk: Disk, name: str) -> list[tuple[FlashGeometry, int, int] | None]:
    """Of each of the two what it says, None if it is not whole."""
    if name not in disk.names() or disk.size_bytes(name) < len(SUPERBLOCKS) * SECTOR_BYTES:
        return [None] * len(SUPERBLOCKS)
    found = []
    for sector in SUPERBLOCKS:
        raw = disk.read_at(name, sector * SECTOR_BYTES, SECTOR_BYTES)
        said = unseal(raw, sector, SUPERBLOCK, MAGIC)
        found.append(of_superblock(said) if said else None)
    return found


def _is_blank(disk: Disk, name: str) -> bool:
    """Nothing is there but what making a flash file may leave when it is cut short: no page."""
    if name not in disk.names():
        return True
    size = disk.size_bytes(name)
    begins = range(len(SUPERBLOCKS) * SECTOR_BYTES, size, CHUNK_BYTES)
    return not any(any(disk.read_at(name, b, min(CHUNK_BYTES, size - b))) for b in begins)


def _format(
    disk: Disk, name: str, geometry: FlashGeometry, rng: Rng
) -> list[tuple[FlashGeometry, int, int] | None]:
    """All erased, and synced as such, before the superblocks say that it is a flash file."""
    store, key = (int(rng.uniform("flash", name, what) * 2**53) for what in ("store", "limits"))
    disk.allocate(name, geometry.file_bytes)
    disk.sync(name)
    media = Media(disk, name, geometry)
    for sector in SUPERBLOCKS:
        media.write_superblock(sector, store, key)
    media.sync()
    return [(geometry, store, key)] * len(SUPERBLOCKS)
