"""The part of a memory server that keeps KV blocks for all chips, by content hash."""

import numpy as np

from workers.errors import PerfuseError
from workers.hardware.work import Work
from workers.kv.pool import BlockPool
from workers.kv.pool_client import hashes_of
from workers.node import Node
from workers.wire.kinds.kv import PoolBlocks, PoolDrop, PoolGet, PoolPut, PoolStored
from workers.wire.message import Message
from workers.wire.port import Port
from workers.wire.roles import Array

NO_BLOCKS = PoolBlocks(
    np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.uint8)
)


class PoolHandlers:
    """Of one pool, whose blocks are in `tier`."""

    def __init__(self, node: Node, port: Port, pool: BlockPool, tier: str) -> None:
        self._node, self._pool, self._tier = node, pool, tier
        port.on(PoolPut, self._put)
        port.on(PoolGet, self._get)
        port.on(PoolDrop, self._drop)

    async def _put(self, message: Message[PoolPut]) -> PoolStored:
        blocks: Array = message.content.blocks
        keys = hashes_of(message.content.hash)
        num_bytes = self._node.numerics.of_kv(message.content.numbers).kv_bytes(blocks)
        work = Work.of("pool_put", writes={self._tier: num_bytes})
        checksums, each = message.content.checksum.tolist(), num_bytes // max(1, len(blocks))
        result = await self._node.hardware.run(
            work, self._pool.put, keys, list(blocks), checksums, each
        )
        return PoolStored(len(result.new), len(result.refused))

    async def _get(self, message: Message[PoolGet]) -> PoolBlocks:
        """The longest leading run of the wanted blocks that is here, perhaps none."""
        wanted, numbers = hashes_of(message.content.hash), message.content.numbers
        keys = wanted[: self._pool.longest_prefix(wanted)]
        if not keys:
            return NO_BLOCKS
        self._pool.pin(keys)
        try:
            first = self._pool.get(keys[:1])[0]
            num_bytes = len(keys) * self._node.numerics.of_kv(numbers).kv_bytes(first)
            work = Work.of("pool_get", reads={self._tier: num_bytes})
            blocks = await self._node.hardware.run(work, self._pool.get, keys)
            checksums = np.array(self._pool.checksums(keys), dtype=np.uint64)
        except PerfuseError:
            return NO_BLOCKS  # a block went bad: none is safe
        finally:
            self._pool.unpin(keys)
        index = np.arange(len(keys), dtype=np.int64)
        return PoolBlocks(index, checksums, np.stack(blocks), numbers)

    def _drop(self, message: Message[PoolDrop]) -> None:
        self._pool.drop(hashes_of(message.content.hash), even_pinned=True)
