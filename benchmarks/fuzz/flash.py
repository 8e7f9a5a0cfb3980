"""A flash file that was changed: each piece of an input is written over a whole file.

A piece is a byte that says whether the checksum there is made to fit, an offset of two bytes, and
what is written. Then all is read, as much as fits is written, and it is opened once more.
"""

from collections.abc import Sequence
from dataclasses import fields
from functools import cache
from itertools import islice

from xxhash import xxh3_64_intdigest

from benchmarks.fuzz.target import Target, joined, pieces
from workers.errors import NotFound
from workers.flash.errors import DamagedFlash, DamagedPage, FlashFull
from workers.flash.flash_file import FlashFile
from workers.flash.geometry import NUM_BLOCK_SECTORS, NUM_FILE_SECTORS, FlashGeometry
from workers.flash.opening import open_flash
from workers.flash.pages import HEADER, HEADER_BYTES, SUM
from workers.flash.records import seal
from workers.host.disk import MemoryDisk
from workers.host.rng import Rng
from workers.host.sectors import SECTOR_BYTES

NAME = "node/hbf"
KEYS = ("version", *(field.name for field in fields(FlashGeometry)))
GEOMETRY = FlashGeometry(
    num_blocks=8, spare_blocks=3, pages_per_block=4, page_bytes=512, endurance_spread=0,
    wear_spread_max=3,
)  # fmt: skip


def _page(value: int) -> bytes:
    return bytes([value % 256]) * GEOMETRY.page_bytes


@cache
def _whole() -> bytes:
    """A file that was written to, discarded from and reclaimed."""
    disk = MemoryDisk()
    flash = open_flash(disk, NAME, GEOMETRY, Rng(1))
    for number in range(12):
        flash.write({number % 7: _page(number), (number + 3) % 9: _page(number + 1)})
    flash.trim([2, 5])
    return disk.read(NAME)


def changed(data: bytes) -> bytes:
    """The file with an input's pieces written over it."""
    image = bytearray(_whole())
    for piece in pieces(data):
        offset = int.from_bytes(piece[1:3], "little") % len(image)
        said = piece[3 : 3 + len(image) - offset]
        image[offset : offset + len(said)] = said
        if piece[:1] and piece[0] % 2:
            _fit(image, offset)
    return bytes(image)


def _fit(image: bytearray, offset: int) -> None:
    """Let the checksums of the record or the page at that offset fit what it says."""
    sector = offset // SECTOR_BYTES
    block = (sector - NUM_FILE_SECTORS) * SECTOR_BYTES // GEOMETRY.block_bytes
    inside = offset - GEOMETRY.block_offset(max(0, block)) - NUM_BLOCK_SECTORS * SECTOR_BYTES
    if sector < NUM_FILE_SECTORS or inside < 0:
        begin = sector * SECTOR_BYTES
        body = bytes(image[begin : begin + SECTOR_BYTES - SUM.size])
        image[begin : begin + SECTOR_BYTES] = seal(body, sector)
        return
    physical = block * GEOMETRY.pages_per_block + inside // GEOMETRY.raw_page_bytes
    begin, size = GEOMETRY.page_offset(physical), GEOMETRY.raw_page_bytes
    body = bytes(image[begin + HEADER_BYTES : begin + size - HEADER_BYTES])
    head = bytes(image[begin : begin + HEADER.size - SUM.size]) + SUM.pack(xxh3_64_intdigest(body))
    head += SUM.pack(xxh3_64_intdigest(head, physical))
    image[begin : begin + size] = head + body + head


def _read(data: bytes) -> None:
    disk, image = MemoryDisk(), changed(data)
    disk.allocate(NAME, len(image))
    disk.write_at(NAME, 0, image)
    disk.sync(NAME)
    for _ in range(2):
        try:
            flash = open_flash(disk, NAME, GEOMETRY, Rng(1))
        except ValueError as error:  # of another geometry or version, which it names
            if not any(key in str(error) for key in KEYS):
                raise
            return
        _used(flash)


def _used(flash: FlashFile) -> None:
    held = flash.held()
    for logical in held:
        try:
            assert len(flash.read(logical)) <= GEOMETRY.page_bytes
        except (DamagedPage, NotFound):
            continue
    list(flash.contents())
    try:
        for logical in islice(range(GEOMETRY.num_logical), 4):
            flash.write({logical: _page(logical)})
            assert flash.read(logical) == _page(logical)
    except FlashFull:
        return


def _piece(fits: bool, offset: int, said: bytes) -> bytes:
    return bytes([fits]) + offset.to_bytes(2, "little") + said


def _seeds() -> Sequence[bytes]:
    block, page = GEOMETRY.block_offset(0), GEOMETRY.page_offset(0)
    in_page = (page + 4, page + 16, page + 40, page + 99)
    places = (8, 512 + 16, 1024 + 8, 1536 + 16, block + 8, *in_page)
    return [
        b"",
        *(joined([_piece(fits, at, b"\1\0\0\0")]) for at in places for fits in (False, True)),
        joined([_piece(False, at, bytes(512)) for at in (0, 512)]),
        joined([_piece(True, page, _whole()[page : page + 120]), _piece(True, 1024, bytes(32))]),
    ]


TARGET = Target(
    "a flash file, opened, read and written to",
    _read,
    (DamagedFlash, FlashFull),
    _seeds,
    [b"PFFLASH1", b"PFCOMMIT", b"PFERASES", b"PFpg", b"\xff" * 8],
)
