"""A shard on a node's disk: a log that grows by what is added, and by what goes.

    NAME/GENERATION/segment-INDEX   see `segments`; the newest sealed generation is the shard

One append and one sync a batch. A crash may tear the last record of a segment; that one was
promised to nobody, and what follows goes to a new segment, whose head says with which number it
begins. A generation is written anew, without what is gone, when more is gone than there: so all
that is ever written stays a fixed multiple of what was added. It takes the place of the old one
when its last record, SEALED, is safe. Full segments of many records are merged: see `compaction`.
"""

from collections.abc import Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from workers.host.disk import Disk
from workers.memory import shard_records as records
from workers.memory.compaction import merge, to_merge
from workers.memory.index.choice import EXACT, IndexChoice
from workers.memory.index.quantizer import Quantizer
from workers.memory.replay import Replay
from workers.memory.segments import (
    Segment,
    clear,
    delete_others,
    merged_name,
    records_of,
    segment_name,
    segments_of,
)
from workers.memory.shard import RetrievalShard
from workers.memory.shard_records import Record

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
        self._segment_records = self._first_number = 0
        self._closed: list[Segment] = []
        self._run = range(0)  # of those, what is to be merged next
        self._num_gone = 0

    @classmethod
    def make(cls, disk: Disk, name: str, dim: int, choice: IndexChoice = EXACT) -> "ShardLog":
        """A log of an empty shard, durable from now on."""
        log = cls(disk, name)
        log._write_anew(RetrievalShard(dim, choice))
        return log

    def add(
        self,
        ids: NDArray[np.int64],
        vectors: NDArray[np.float32],
        texts: Sequence[str],
        files: Sequence[str],
    ) -> None:
        self._append(records.added(ids, vectors, texts, files))

    def trained(self, quantizer: Quantizer) -> None:
        self._append(records.trained(quantizer))

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
        clear(self._disk, self._name, self._generation)

    def resume(self, replay: Replay, generation: int, last: int, found: Sequence[Segment]) -> None:
        """Go on behind what was found, up to segment `last`, in a segment of its own."""
        self._generation, self._segment = generation, last
        self._number, self._num_gone = replay.number, replay.num_gone
        self._closed = list(found)
        self._run = to_merge(self._closed, SEGMENT_BYTES)

    @property
    def bytes_to_merge(self) -> int:
        """That `compact` would read; 0 if all is well."""
        return sum(self._closed[at].num_bytes for at in self._run)

    def compact(self, dim: int) -> int:
        """Merge segments as `to_merge` says, if any. Returns the bytes written."""
        run, name, generation = self._run, self._name, self._generation
        if not run:
            return 0
        old, self._run = [self._closed[at] for at in run], range(0)
        follows = self._closed[run.stop].first_number if run.stop < len(self._closed) else None
        stop = self._begun() if follows is None else follows
        merging = merge(records_of(self._disk, old, stop), stop, dim)
        data = [records.segment_head(old[0].first_number)]
        for at, record in enumerate(merging.records):
            data.append(record.pack(old[0].first_number + at))
        span = old[0].first, old[-1].last
        segment = merged_name(name, generation, *span)
        num_bytes = sum(map(len, data))
        try:
            self._disk.write(segment, b"".join(data))
            self._disk.sync(segment)
        except OSError:
            self._disk.delete(segment)
            raise
        new = Segment(segment, *span, old[0].first_number, num_bytes, len(merging.records))
        self._closed[run.start : run.stop] = [new]
        self._num_gone -= merging.num_gone
        self._run = to_merge(self._closed, SEGMENT_BYTES)
        for one in old:
            if one.name != segment:
                with suppress(OSError):  # it counts no more: it goes when the log is taken up
                    self._disk.delete(one.name)
        return num_bytes

    def _begun(self) -> int:
        """Number of the first record behind all closed segments."""
        is_closed = not self._segment_records
        return self._number if is_closed else self._first_number

    # ----------------------------------------------------------------------------------------------

    def _append(self, record: Record, *, sync: bool = True) -> None:
        data = record.pack(self._number)
        if self._segment_bytes >= SEGMENT_BYTES:
            self._close()
            self._segment, self._segment_bytes = self._segment + 1, 0
            self._first_number = self._number
            data = records.segment_head(self._number) + data
        name = segment_name(self._name, self._generation, self._segment)
        self._segment_records += 1
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

    def _close(self) -> None:
        """The present segment gets no more."""
        if self._segment_records and self._number > self._first_number:  # else nothing counts
            at, count = self._segment, self._segment_records
            name = segment_name(self._name, self._generation, at)
            size = self._segment_bytes
            self._closed.append(Segment(name, at, at, self._first_number, size, count))
            self._run = to_merge(self._closed, SEGMENT_BYTES)
        self._segment_records = 0

    def _begin_generation(self) -> None:
        generations = segments_of(self._disk, self._name)
        self._generation = max(generations, default=0) + 1
        self._segment, self._number, self._segment_bytes = 0, 0, SEGMENT_BYTES
        self._closed, self._segment_records, self._run = [], 0, range(0)

    def _write_anew(self, shard: RetrievalShard) -> None:
        self._close()
        before = self._generation, self._segment, self._number, self._closed
        self._begin_generation()
        try:
            self._append(records.opened(shard.dim, shard.choice), sync=False)
            for ids in shard.taken_back:
                self._append(records.gone(ids), sync=False)
            for piece in shard.pieces():
                self._append(records.added(*piece), sync=False)
            if shard.quantizer is not None:
                self._append(records.trained(shard.quantizer), sync=False)
            self._append(records.SEALED)
        except OSError:
            unsealed = segments_of(self._disk, self._name).get(self._generation, [])
            self._generation, self._segment, self._number, self._closed = before
            self._segment_bytes, self._segment_records = SEGMENT_BYTES, 0
            for segment in unsealed:
                self._disk.delete(segment)
            raise
        self._num_gone = 0
        delete_others(self._disk, self._name, self._generation)
