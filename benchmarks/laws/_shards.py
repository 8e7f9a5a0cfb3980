"""A shard's log as bytes, and what is read of such bytes."""

from workers.host.disk import MemoryDisk
from workers.memory.loading import load_log
from workers.memory.shard_log import ShardLog


def empty_shard() -> bytes:
    disk = MemoryDisk()
    ShardLog.make(disk, "shard", 3)
    (segment,) = disk.names()
    return disk.read(segment)


def load_shard(data: bytes) -> object:
    disk = MemoryDisk()
    disk.write("shard/00000001/segment-00000001", data)
    try:
        return load_log(disk, "shard")
    except FileNotFoundError as error:  # torn before its end: there never was one
        raise ValueError(str(error)) from error
