"""A shard on a node's disk: a log that grows by what is added, and by what goes.

    NAME/GENERATION/segment-INDEX   see `shard_records`; the newest sealed generation is the shard

One append and one sync a batch. A crash may tear the last record of a segment; that one was
promised to nobody, and what follows goes to a new segment, whose head says with which number it
begins. A generation is written anew, without what is gone, when more is gone than there: so all
that is ever written stays a fixed multiple of what was added. It takes the place of the old one
when its last record, SEALED, is safe.
"""

from collections.abc import Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from workers.errors import CorruptMessage
from workers.host.disk import Disk
from workers.memory import shard_records as records
from workers.memory.shard import RetrievalShard
from workers.memory.shard_records import Record, Replay

# A segment is read whole when a shard is taken up.
SEGMENT_BYTES = 16 << 20
# No log of fewer passages is written anew.
GONE_MIN = 1024


class ShardLog:
    """Of one shard. One thread at a time. What raises OSError was not kept, but may be found after
    a crash: whoever asked for it takes it back.
    """

    def __init__(self, disk: Disk, name: str) -> None:
        """`make` or `load_log` bring one that is there."""
        self._disk, self._name = disk, name
        self._generation, self._segment, self._number = 0, 0, 0
        self._segment_bytes = SEGMENT_BYTES  # of the present segment: full, so that the next begins
        self._num_gone = 0

    @classmethod
    def make(cls, disk: Disk, name: str, dim: int) -> "ShardLog":
        """A log of an empty shard, durable from now on."""
        log = cls(disk, name)
        log._write_anew(RetrievalShard(dim))
        return log

    def add(
        self,
        ids: NDArray[np.int64],
        vectors: NDArray[np.float32],
        texts: Sequence[str],
        files: Sequence[str],
    ) -> None:
        self._append(records.added(ids, vectors, texts, files))

    def take_back(self, ids: range, num_gone: int, shard: RetrievalShard) -> None:
        """`num_gone` of them were there; `shard` is without them."""
        self._append(records.gone(ids))
        self._num_gone += num_gone
        if self._num_gone > max(GONE_MIN, shard.num_passages):
            with suppress(OSError):  # what there is says the same, at greater length
                self._write_anew(shard)

    def delete(self) -> None:
        """A crash halfway must not leave half a log, which would look damaged: a generation that
        says DELETED takes its place first, one record that is there at once or not at all.
        """
        self._begin_generation()
        self._append(records.DELETED)
        _clear(self._disk, self._name, self._generation)

    def resume(self, replay: Replay, generation: int, last_segment: str) -> None:
        """Go on behind what was found, in a segment of its own."""
        self._generation, self._segment = generation, int(last_segment.rpartition("-")[2])
        self._number, self._num_gone = replay.number, replay.num_gone

    # ----------------------------------------------------------------------------------------------

    def _append(self, record: Record, *, sync: bool = True) -> None:
        data = record.pack(self._number)
        if self._segment_bytes >= SEGMENT_BYTES:
            self._segment, self._segment_bytes = self._segment + 1, 0
            data = records.segment_head(self._number) + data
        name = _segment_name(self._name, self._generation, self._segment)
        try:
            self._disk.append(name, data)
            if sync or self._segment_bytes + len(data) >= SEGMENT_BYTES:
                self._disk.sync(name)
        except OSError:
            # Nobody knows how much of it is there: a new segment says that it does not count.
            self._segment_bytes = SEGMENT_BYTES
            raise
        self._segment_bytes += len(data)
        self._number += 1

    def _begin_generation(self) -> None:
        generations = segments_of(self._disk, self._name)
        self._generation = max(generations, default=0) + 1
        self._segment, self._number, self._segment_bytes = 0, 0, SEGMENT_BYTES

    def _write_anew(self, shard: RetrievalShard) -> None:
        before = self._generation, self._segment, self._number
        self._begin_generation()
        try:
            self._append(records.opened(shard.dim), sync=False)
            for ids in shard.taken_back:
                self._append(records.gone(ids), sync=False)
            for piece in shard.pieces():
                self._append(records.added(*piece), sync=False)
            self._append(records.SEALED)
        except OSError:
            unsealed = segments_of(self._disk, self._name).get(self._generation, [])
            self._generation, self._segment, self._number = before
            self._segment_bytes = SEGMENT_BYTES
            for segment in unsealed:
                self._disk.delete(segment)
            raise
        self._num_gone = 0
        _delete_others(self._disk, self._name, self._generation)


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
            replay = _replay(disk, segments)
        except CorruptMessage as error:
            damage = damage or error
            continue
        if not replay.is_sealed:
            continue
        if replay.shard is None:
            _clear(disk, name, generation)
            raise FileNotFoundError(f"shard {name!r} was deleted from this disk")
        _delete_others(disk, name, generation)
        log = ShardLog(disk, name)
        log.resume(replay, generation, segments[-1])
        return log, replay.shard
    if damage is not None:
        raise CorruptMessage(f"{damage.message} (a shard on disk as {name!r})") from damage
    raise FileNotFoundError(f"shard {name!r} is not on this disk")


def _replay(disk: Disk, segments: Sequence[str]) -> Replay:
    """Records that a later segment numbers again were promised to nobody."""
    replay, firsts = Replay(), [_first_number(disk, segment) for segment in segments]
    for at, (segment, first) in enumerate(zip(segments, firsts, strict=True)):
        if first is None:
            continue
        stop = min((f for f in firsts[at + 1 :] if f is not None), default=None)
        try:
            if first != replay.number:
                raise CorruptMessage(f"it begins with record {first}, not with {replay.number}")
            for number, record in records.scan(disk.read(segment)):
                if stop is None or number < stop:
                    replay.take(number, record)
        except CorruptMessage as error:
            raise CorruptMessage(f"{segment}: {error.message}") from error
    return replay


def _first_number(disk: Disk, segment: str) -> int | None:
    try:
        return records.first_number(disk.read(segment))
    except CorruptMessage as error:
        raise CorruptMessage(f"{segment}: {error.message}") from error


def _segment_name(name: str, generation: int, segment: int) -> str:
    return f"{name}/{generation:08d}/segment-{segment:08d}"


def _clear(disk: Disk, name: str, generation: int) -> None:
    """All of it, this generation last: it says that there is nothing."""
    _delete_others(disk, name, generation)
    for segment in segments_of(disk, name).get(generation, []):
        disk.delete(segment)


def _delete_others(disk: Disk, name: str, generation: int) -> None:
    """Generations that this one stands in for, or that came to nothing."""
    for other, segments in segments_of(disk, name).items():
        if other != generation:
            for segment in segments:
                disk.delete(segment)


def segments_of(disk: Disk, name: str) -> dict[int, list[str]]:
    """Generation -> its segments' names in order."""
    found: dict[int, list[str]] = {}
    for segment in disk.names():
        if segment.startswith(f"{name}/"):
            generation, _, rest = segment[len(name) + 1 :].partition("/")
            if generation.isdecimal() and rest.startswith("segment-"):
                found.setdefault(int(generation), []).append(segment)
    return found
