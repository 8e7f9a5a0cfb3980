"""What a shard's log says, record by record, as bytes; and a shard out of such records.

    segment   MAGIC | number of its first record u64 | checksum u64 | records
    record    length u32 | kind u32 | payload checksum u64 | head checksum u64 | payload

    OPEN      dim u32                           the first of a log
    ADD       passages u32 | length of texts u32 | ids int64 | vectors float32 | texts JSON
    GONE      first id int64 | passages int64   none of them is here, or comes any more
    SEALED    what a log took over from the one before it is whole
    DELETED   instead of OPEN: there is no shard

Everything is little-endian. The head has a checksum of its own, with the record's number, which is
counted and not stored: a damaged length cannot pass for a torn end and hide what follows, and a
record that is missing or in another's place does not fit.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import orjson
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest as checksum

from workers.errors import CorruptMessage
from workers.memory.shard import RetrievalShard

_MAGIC = b"PFSHARD2"
_NUMBER = struct.Struct("<Q")
_HEAD = struct.Struct("<IIQQ")
_CHECKED = struct.Struct("<QIIQ")
_DIM, _COUNTS, _RANGE = struct.Struct("<I"), struct.Struct("<II"), struct.Struct("<qq")
SEGMENT_HEAD_BYTES = len(_MAGIC) + 2 * _NUMBER.size


class RecordKind(IntEnum):
    OPEN, ADD, GONE, SEALED, DELETED = range(1, 6)


@dataclass(frozen=True, slots=True)
class Record:
    kind: RecordKind
    payload: bytes = b""

    def pack(self, number: int) -> bytes:
        """As record `number` of its log."""
        of_payload = checksum(self.payload)
        of_head = checksum(_CHECKED.pack(number, len(self.payload), self.kind, of_payload))
        return _HEAD.pack(len(self.payload), self.kind, of_payload, of_head) + self.payload


def opened(dim: int) -> Record:
    return Record(RecordKind.OPEN, _DIM.pack(dim))


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


def gone(ids: range) -> Record:
    return Record(RecordKind.GONE, _RANGE.pack(ids.start, len(ids)))


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


class Replay:
    """A log's records, one after the other. What is left of it is `shard`; `is_sealed` says whether
    it stands in for the log before it.
    """

    def __init__(self) -> None:
        self.shard: RetrievalShard | None = None
        self.is_sealed = False
        self.num_gone = 0
        self.number = 0

    def take(self, number: int, record: Record) -> None:
        """Raises CorruptMessage for what no shard says: a checksum tells that bytes are as they
        were written, not by whom.
        """
        try:
            self._take(record)
        except (ArithmeticError, LookupError, struct.error, TypeError, ValueError) as error:
            text = f"record {number} is not as it should be: {error!r:.200}"
            raise CorruptMessage(text) from error
        self.number = number + 1

    def _take(self, record: Record) -> None:
        if record.kind is RecordKind.DELETED:
            self.shard, self.is_sealed = None, True
        elif record.kind is RecordKind.OPEN:
            if self.number:
                raise ValueError("a log opens once")
            self.shard = RetrievalShard(*_DIM.unpack(record.payload))
        elif self.shard is None:
            raise ValueError("the log is not open")
        elif record.kind is RecordKind.SEALED:
            self.is_sealed = True
        elif record.kind is RecordKind.GONE:
            first, count = _RANGE.unpack(record.payload)
            self.num_gone += self.shard.take_back(range(first, first + count))
        else:
            _add(self.shard, record.payload)


def _add(shard: RetrievalShard, payload: bytes) -> None:
    count, length = _COUNTS.unpack_from(payload)
    begin = _COUNTS.size + count * 8
    end = begin + count * shard.dim * 4
    if end + length != len(payload):
        raise ValueError(f"{count} passages of {shard.dim} values do not fill {len(payload)} bytes")
    ids = np.frombuffer(payload, "<i8", count, _COUNTS.size)
    vectors = np.frombuffer(payload, "<f4", count * shard.dim, begin).reshape(count, shard.dim)
    texts, names, places = orjson.loads(payload[end:])
    if not all(isinstance(text, str) for text in (*texts, *names)):
        raise TypeError("its texts and files must be strings")
    shard.add(ids, vectors.astype(np.float32), texts, [names[place] for place in places])
