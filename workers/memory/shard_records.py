"""What a shard's log says, record by record, as bytes.

    segment   MAGIC | number of its first record u64 | checksum u64 | records
    record    length u32 | kind u32 | payload checksum u64 | head checksum u64 | payload

    OPEN      dim u32 | index JSON              the first of a log; no JSON: scanned
    ADD       passages u32 | length of texts u32 | ids int64 | vectors float32 | texts JSON
    GONE      first id int64 | passages int64   none of them is here, or comes any more
    TRAINED   a quantiser                       the index from now on
    SEALED    what a log took over from the one before it is whole
    MERGED    number u64                        the segment is whole, and stands in for all records
                                                below that number, from its first one on
    DELETED   instead of OPEN: there is no shard

Everything is little-endian. The head has a checksum of its own, with the record's number, which is
counted and not stored: a damaged length cannot pass for a torn end and hide what follows, and a
record that is missing or in another's place does not fit.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest as checksum

from workers.errors import CorruptMessage
from workers.memory.id_ranges import IdRanges
from workers.memory.index.choice import EXACT, IndexChoice
from workers.memory.index.quantizer import Quantizer

_MAGIC = b"PFSHARD2"
_NUMBER = struct.Struct("<Q")
_HEAD = struct.Struct("<IIQQ")
_CHECKED = struct.Struct("<QIIQ")
_DIM, _COUNTS, _RANGE = struct.Struct("<I"), struct.Struct("<II"), struct.Struct("<qq")
SEGMENT_HEAD_BYTES = len(_MAGIC) + 2 * _NUMBER.size


class Added(NamedTuple):
    """Passages: ids [n], vectors [n, dim], texts and files [n]."""

    ids: NDArray[np.int64]
    vectors: NDArray[np.float32]
    texts: list[str]
    files: list[str]

    def without(self, ids: IdRanges) -> "Added":
        keep = ~ids.mask(self.ids)
        if keep.all():
            return self
        rows = np.flatnonzero(keep).tolist()
        texts, files = [self.texts[row] for row in rows], [self.files[row] for row in rows]
        return Added(self.ids[keep], self.vectors[keep], texts, files)


class RecordKind(IntEnum):
    OPEN, ADD, GONE, SEALED, DELETED, TRAINED, MERGED = range(1, 8)


@dataclass(frozen=True, slots=True)
class Record:
    kind: RecordKind
    payload: bytes = b""

    def pack(self, number: int) -> bytes:
        """As record `number` of its log."""
        of_payload = checksum(self.payload)
        of_head = checksum(_CHECKED.pack(number, len(self.payload), self.kind, of_payload))
        return _HEAD.pack(len(self.payload), self.kind, of_payload, of_head) + self.payload


def opened(dim: int, choice: IndexChoice = EXACT) -> Record:
    plain = choice.to_plain()
    return Record(RecordKind.OPEN, _DIM.pack(dim) + (orjson.dumps(plain) if plain else b""))


def added(
    ids: NDArray[np.int64],
    vectors: NDArray[np.float32],
    texts: Sequence[str],
    files: Sequence[str],
) -> Record:
    """The files are named once each."""
    names = list(dict.fromkeys(files))
    places = {name: place for place, name in enumerate(names)}
    said = orjson.dumps([list(texts), names, [places[name] for name in files]])
    parts = (
        _COUNTS.pack(len(ids), len(said)),
        np.asarray(ids, "<i8").tobytes(),
        np.asarray(vectors, "<f4").tobytes(),
        said,
    )
    return Record(RecordKind.ADD, b"".join(parts))


def trained(quantizer: Quantizer) -> Record:
    return Record(RecordKind.TRAINED, quantizer.pack())


def gone(ids: range) -> Record:
    return Record(RecordKind.GONE, _RANGE.pack(ids.start, len(ids)))


def parse_added(payload: bytes, dim: int) -> Added:
    """Raises ValueError and such for what no shard of vectors of `dim` says."""
    count, length = _COUNTS.unpack_from(payload)
    begin = _COUNTS.size + count * 8
    end = begin + count * dim * 4
    if end + length != len(payload):
        raise ValueError(f"{count} passages of {dim} values do not fill {len(payload)} bytes")
    ids = np.frombuffer(payload, "<i8", count, _COUNTS.size)
    vectors = np.frombuffer(payload, "<f4", count * dim, begin).reshape(count, dim)
    texts, names, places = orjson.loads(payload[end:])
    if not all(isinstance(text, str) for text in (*texts, *names)):
        raise TypeError("its texts and files must be strings")
    files = [names[place] for place in places]
    return Added(ids.astype(np.int64), vectors.astype(np.float32), texts, files)


def parse_gone(payload: bytes) -> range:
    first, count = _RANGE.unpack(payload)
    return range(first, first + count)


def parse_opened(payload: bytes) -> tuple[int, IndexChoice]:
    said = payload[_DIM.size :]
    choice = IndexChoice.from_plain(orjson.loads(said)) if said else EXACT
    return _DIM.unpack_from(payload)[0], choice


def merged(stop: int) -> Record:
    return Record(RecordKind.MERGED, _NUMBER.pack(stop))


def parse_merged(payload: bytes) -> int:
    return int(_NUMBER.unpack(payload)[0])


SEALED, DELETED = Record(RecordKind.SEALED), Record(RecordKind.DELETED)


def segment_head(first_number: int) -> bytes:
    number = _NUMBER.pack(first_number)
    return _MAGIC + number + _NUMBER.pack(checksum(_MAGIC + number))


def first_number(segment: bytes) -> int | None:
    """Of its records; None if its head is torn. Raises CorruptMessage."""
    if not _MAGIC.startswith(segment[: len(_MAGIC)]):
        raise CorruptMessage(f"it begins with {segment[: len(_MAGIC)]!r}, not with {_MAGIC!r}")
    if len(segment) < SEGMENT_HEAD_BYTES:
        return None
    (number,) = _NUMBER.unpack_from(segment, len(_MAGIC))
    if segment[:SEGMENT_HEAD_BYTES] != segment_head(number):
        raise CorruptMessage("its head is damaged")
    return int(number)


def scan(segment: bytes) -> Iterator[tuple[int, Record]]:
    """(number, record) of each whole one; a torn last one is left out. Raises CorruptMessage."""
    number = first_number(segment)
    if number is None:
        return
    offset, view = SEGMENT_HEAD_BYTES, memoryview(segment)
    while offset + _HEAD.size <= len(segment):
        length, kind, of_payload, of_head = _HEAD.unpack_from(segment, offset)
        if of_head != checksum(_CHECKED.pack(number, length, kind, of_payload)):
            raise CorruptMessage(f"byte {offset}: the head of record {number} is damaged")
        offset += _HEAD.size
        if offset + length > len(segment):
            return
        payload = view[offset : offset + length]
        if checksum(payload) != of_payload:
            raise CorruptMessage(f"byte {offset}: record {number} is damaged")
        yield number, Record(_kind(kind, number), bytes(payload))
        offset, number = offset + length, number + 1


def _kind(kind: int, number: int) -> RecordKind:
    try:
        return RecordKind(kind)
    except ValueError as error:
        raise CorruptMessage(f"record {number} is of no kind that there is: {kind}") from error
