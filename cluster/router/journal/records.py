"""Records in a file: each with its length and checksums, so that damage is found and placed.

    file     MAGIC, then records 0, 1, 2, ...
    record   length u32 | checksum u32 of number, length and the next | checksum u32 | payload

A crash keeps a prefix of what was not synced, so a file may end anywhere in its last record: that
record was promised to nobody, and is left out. Everything else that does not fit is damage. The
length has a checksum that does not need the payload, else a damaged length could pass for a torn
end and hide all that follows. Numbers are not stored but counted: a record that is missing or in
another's place fails too. CRC-32 finds every change of up to four bytes in a row.
"""

import struct
from collections.abc import Iterator
from zlib import crc32

# Its last byte is the version of what the records hold.
MAGIC = b"PFROUTE\x03"
_HEAD = struct.Struct("<III")
_CHECKED = struct.Struct("<QII")


class JournalDamaged(ValueError):
    """What is on the disk is not what was written; the message names the byte."""


def pack(number: int, payload: bytes) -> bytes:
    """Record `number` of its file."""
    checksum = crc32(payload)
    return _HEAD.pack(len(payload), _head_checksum(number, len(payload), checksum), checksum) + (
        payload
    )


def scan(data: bytes, name: str = "journal") -> Iterator[tuple[int, bytes]]:
    """(offset, payload) of each whole record; a torn last one is left out.

    Raises JournalDamaged, after the records before it, with the offset of what does not fit.
    """
    if not MAGIC.startswith(data[: len(MAGIC)]):
        raise JournalDamaged(f"{name}: byte 0: is no router journal of this version")
    offset, number = len(MAGIC), 0
    while offset + _HEAD.size <= len(data):
        length, head_checksum, checksum = _HEAD.unpack_from(data, offset)
        if head_checksum != _head_checksum(number, length, checksum):
            raise JournalDamaged(f"{name}: byte {offset}: the head of record {number} is damaged")
        begin = offset + _HEAD.size
        if begin + length > len(data):
            return
        payload = data[begin : begin + length]
        if crc32(payload) != checksum:
            raise JournalDamaged(f"{name}: byte {offset}: record {number} is damaged")
        yield offset, payload
        offset, number = begin + length, number + 1


def _head_checksum(number: int, length: int, checksum: int) -> int:
    return crc32(_CHECKED.pack(number, length, checksum))
