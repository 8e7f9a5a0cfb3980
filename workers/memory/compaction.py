"""Segments of a shard's log become fewer, and their records larger: a store that grows a passage at
a time is read back as fast as one that came at once. Pure.

Each byte is written once more when its segment is full; and small segments, of which every restart
leaves one, are merged eight at a time. So what is written in all is a fixed multiple of what was
added, and a shard's segments are at most twice as many as its bytes fill, and eight.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from workers.memory import shard_records as records
from workers.memory.id_ranges import IdRanges
from workers.memory.segments import Segment, is_merged
from workers.memory.shard_records import Added, Record, RecordKind

# More records than that a segment are worth merging. ASSUMED: a full one takes a second to replay
# at 10,000 and hardly more than it takes to read at this many.
RECORDS_MAX = 64
# So many small segments in a row are merged into one.
SMALL_MAX = 8
# Passages of a merged record.
ROWS_PER_RECORD = 4096


def to_merge(closed: Sequence[Segment], segment_bytes: int) -> range:
    """Places in `closed` of segments that are to become one; empty if all are well. Several become
    at most one of segment_bytes.
    """
    begin = 0
    while begin < len(closed):
        end, size = begin + 1, closed[begin].num_bytes
        while end < len(closed) and size + closed[end].num_bytes <= segment_bytes:
            size += closed[end].num_bytes
            end += 1
        run = closed[begin:end]
        scattered = any(one.num_records > RECORDS_MAX and not is_merged(one.name) for one in run)
        if scattered or end - begin >= SMALL_MAX:
            return range(begin, end)
        begin = end
    return range(0)


@dataclass(frozen=True, slots=True)
class Merged:
    """records   the same as what was merged, in fewer of them
    num_gone  passages that were left out
    """

    records: list[Record]
    num_gone: int


def merge(found: Iterable[Record], stop: int, dim: int) -> Merged:
    """The last record says that they stand in for all below number `stop`. Passages that went are
    left out; that they went is kept, for those that still come.

    Raises ValueError and such for what no shard says.
    """
    single: dict[RecordKind, Record] = {}  # of a kind that comes once, or the last of which counts
    gone = IdRanges()
    pieces: list[Added] = []
    for record in found:
        if record.kind is RecordKind.ADD:
            pieces.append(records.parse_added(record.payload, dim))
        elif record.kind is RecordKind.GONE:
            gone.add(records.parse_gone(record.payload))
        else:
            single[record.kind] = record
    kept = [piece.without(gone) for piece in pieces] if len(gone) else pieces
    num_gone = sum(len(piece.ids) for piece in pieces) - sum(len(piece.ids) for piece in kept)
    first = [single[RecordKind.OPEN]] if RecordKind.OPEN in single else []
    last = [single[kind] for kind in (RecordKind.TRAINED, RecordKind.SEALED) if kind in single]
    adds = [records.added(*piece) for piece in _regrouped(kept)]
    ranges = [records.gone(ids) for ids in gone]
    return Merged([*first, *ranges, *adds, *last, records.merged(stop)], num_gone)


def _regrouped(pieces: Iterable[Added]) -> Iterator[Added]:
    """The same passages, about ROWS_PER_RECORD at a time."""
    waiting: list[Added] = []
    count = 0
    for piece in pieces:
        waiting.append(piece)
        count += len(piece.ids)
        if count >= ROWS_PER_RECORD:
            yield _joined(waiting)
            waiting, count = [], 0
    if count:
        yield _joined(waiting)


def _joined(pieces: Sequence[Added]) -> Added:
    return Added(
        np.concatenate([piece.ids for piece in pieces]),
        np.concatenate([piece.vectors for piece in pieces]),
        [text for piece in pieces for text in piece.texts],
        [file for piece in pieces for file in piece.files],
    )
