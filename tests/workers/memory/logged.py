"""A shard and its log, changed together as a memory server does."""

import numpy as np

from workers.host.disk import FolderDisk, MemoryDisk
from workers.memory.loading import load_log
from workers.memory.shard import RetrievalShard
from workers.memory.shard_log import ShardLog

DIM = 3


def vectors_of(ids: range) -> np.ndarray:
    return np.array([[i, 1, -i] for i in ids], np.float32).reshape(-1, DIM)


class Both:
    def __init__(self, disk: MemoryDisk | FolderDisk, name: str = "docs") -> None:
        self.disk, self.name = disk, name
        self.log, self.shard = ShardLog.make(disk, name, DIM), RetrievalShard(DIM)

    def add(self, ids: range) -> None:
        texts, files = [f"pässage {i}" for i in ids], [f"f{i % 2}" for i in ids]
        self.log.add(np.array(ids, np.int64), vectors_of(ids), texts, files)
        self.shard.add(ids, vectors_of(ids), texts, files)

    def take_back(self, ids: range) -> None:
        self.log.take_back(ids, self.shard.take_back(ids), self.shard)

    def reload(self) -> None:
        self.log, self.shard = load_log(self.disk, self.name)


def same(one: RetrievalShard, other: RetrievalShard) -> bool:
    equal = np.array_equal(one.passage_ids, other.passage_ids)
    equal &= np.array_equal(one.vectors(), other.vectors()) and one.texts == other.texts
    equal &= one.taken_back == other.taken_back and one.file_ids == other.file_ids
    return equal and one.bytes_held() == other.bytes_held()
