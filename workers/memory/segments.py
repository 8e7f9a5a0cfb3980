"""The files of a shard's log, by their names.

NAME/GENERATION/segment-INDEX         written as records came
NAME/GENERATION/segment-LAST.FIRST    merged: stands in for the segments FIRST to LAST, once its
                                      own last record, MERGED, is there
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from workers.errors import CorruptMessage
from workers.host.disk import Disk
from workers.memory import shard_records as records
from workers.memory.shard_records import Record, RecordKind


@dataclass(frozen=True, slots=True)
class Segment:
    """name            of its file
    first, last    indices that it stands for       first_number   of its first record
    num_bytes, num_records   that it has
    """

    name: str
    first: int
    last: int
    first_number: int
    num_bytes: int
    num_records: int


def segment_name(name: str, generation: int, index: int) -> str:
    return f"{name}/{generation:08d}/segment-{index:08d}"


def merged_name(name: str, generation: int, first: int, last: int) -> str:
    return f"{segment_name(name, generation, last)}.{first:08d}"


def span_of(segment: str) -> tuple[int, int]:
    """(first, last) of the indices that it stands for."""
    last, _, first = segment.rpartition("-")[2].partition(".")
    return int(first or last), int(last)


def is_merged(segment: str) -> bool:
    return "." in segment.rpartition("-")[2]


def segments_of(disk: Disk, name: str) -> dict[int, list[str]]:
    """Generation -> its segments' names in order."""
    found: dict[int, list[str]] = {}
    for segment in disk.names():
        if segment.startswith(f"{name}/"):
            generation, _, rest = segment[len(name) + 1 :].partition("/")
            if generation.isdecimal() and rest.startswith("segment-"):
                found.setdefault(int(generation), []).append(segment)
    return found


def clear(disk: Disk, name: str, generation: int) -> None:
    """All of it, this generation last: it says that there is nothing."""
    delete_others(disk, name, generation)
    for segment in segments_of(disk, name).get(generation, []):
        disk.delete(segment)


def delete_others(disk: Disk, name: str, generation: int) -> None:
    """Generations that this one stands in for, or that came to nothing."""
    for other, segments in segments_of(disk, name).items():
        if other != generation:
            for segment in segments:
                disk.delete(segment)


def standing(disk: Disk, segments: Sequence[str]) -> list[str]:
    """Those that count: merged ones that are whole in place of what they stand in for, and no
    others. Raises CorruptMessage for a merged one that is damaged.
    """
    whole = [one for one in segments if is_merged(one) and _is_whole(disk, one)]
    kept = []
    for segment in segments:
        first, last = span_of(segment)
        wider = (span_of(one) for one in whole if one != segment)
        if is_merged(segment) and segment not in whole:
            continue
        if any(low <= first and last <= high for low, high in wider):
            continue
        kept.append(segment)
    return kept


def _is_whole(disk: Disk, segment: str) -> bool:
    kind = None
    try:
        for _, record in records.scan(disk.read(segment)):
            kind = record.kind
    except CorruptMessage as error:
        raise CorruptMessage(f"{segment}: {error.message}") from error
    return kind is RecordKind.MERGED


def records_of(disk: Disk, segments: Sequence[Segment], stop: int) -> Iterator[Record]:
    """Of segments in a row, behind which record `stop` comes: those that were promised. Raises
    CorruptMessage.
    """
    stops = [segment.first_number for segment in segments[1:]] + [stop]
    for segment, next_number in zip(segments, stops, strict=True):
        for number, record in records.scan(disk.read(segment.name)):
            is_promised = number < next_number or is_merged(segment.name)
            if is_promised and record.kind is not RecordKind.MERGED:
                yield record
