"""Shards as their logs on a disk have them."""

from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from workers.errors import CorruptMessage
from workers.host.disk import Disk
from workers.memory import shard_records as records
from workers.memory.replay import Replay
from workers.memory.segments import (
    Segment,
    clear,
    delete_others,
    is_merged,
    segments_of,
    span_of,
    standing,
)
from workers.memory.shard import RetrievalShard
from workers.memory.shard_log import ShardLog


def load_logs(disk: Disk, folder: str) -> dict[str, tuple[ShardLog, RetrievalShard]]:
    """All shards in a folder, by their names there. Raises CorruptMessage as `load_log` does."""
    prefix = f"{folder}/"
    segments = (name for name in disk.names() if name.startswith(prefix))
    names = dict.fromkeys(name.rpartition("/segment-")[0].rpartition("/")[0] for name in segments)
    found = {}
    for name in names:
        with suppress(FileNotFoundError):  # it was deleted, or never quite made
            found[name.removeprefix(prefix)] = load_log(disk, name)
    return found


def load_log(disk: Disk, name: str) -> tuple[ShardLog, RetrievalShard]:
    """The newest sealed generation that is sound, and its shard; the others go.

    Raises FileNotFoundError if there is none, or it says that the shard was deleted; CorruptMessage
    if none that was sealed is sound.
    """
    damage: CorruptMessage | None = None
    for generation, segments in sorted(segments_of(disk, name).items(), reverse=True):
        try:
            replay, found = _replay(disk, segments)
        except CorruptMessage as error:
            damage = damage or error
            continue
        if not replay.is_sealed:
            continue
        if replay.shard is None:
            clear(disk, name, generation)
            raise FileNotFoundError(f"shard {name!r} was deleted from this disk")
        delete_others(disk, name, generation)
        log = ShardLog(disk, name)
        for segment in segments:
            if segment not in found.names:  # merged, or not quite
                disk.delete(segment)
        last = max(span_of(segment)[1] for segment in segments)  # its head may be torn
        log.resume(replay, generation, last, found.segments)
        return log, replay.shard
    if damage is not None:
        raise CorruptMessage(f"{damage.message} (a shard on disk as {name!r})") from damage
    raise FileNotFoundError(f"shard {name!r} is not on this disk")


class _Standing(NamedTuple):
    names: list[str]
    segments: list[Segment]


def _replay(disk: Disk, segments: Sequence[str]) -> tuple[Replay, _Standing]:
    """Records that a later segment numbers again were promised to nobody."""
    replay, names, read = Replay(), standing(disk, segments), list[Segment]()
    firsts = [_first_number(disk, segment) for segment in names]
    for at, (segment, first) in enumerate(zip(names, firsts, strict=True)):
        if first is None:
            continue
        stop = min((f for f in firsts[at + 1 :] if f is not None), default=None)
        try:
            if first != replay.number:
                raise CorruptMessage(f"it begins with record {first}, not with {replay.number}")
            data, count = disk.read(segment), 0
            for number, record in records.scan(data):
                if stop is None or number < stop or is_merged(segment):
                    replay.take(number, record)
                    count += 1
        except CorruptMessage as error:
            raise CorruptMessage(f"{segment}: {error.message}") from error
        read.append(Segment(segment, *span_of(segment), first, len(data), count))
    return replay, _Standing(names, read)


def _first_number(disk: Disk, segment: str) -> int | None:
    try:
        return records.first_number(disk.read(segment))
    except CorruptMessage as error:
        raise CorruptMessage(f"{segment}: {error.message}") from error
