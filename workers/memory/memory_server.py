"""A memory server: retrieval shards that it scans beside their memory, and a pool of KV blocks that
all chips share.

What it is told:

    router ── shard_create, shard_add, shard_delete ──▶ passages of a collection, with their vectors
    router ── shard_take_back ─▶ forget an addition that failed elsewhere
    router ── search ─▶ the best passages of this server's part
    chip   ── pool_put, pool_get ─▶ KV blocks by content hash
"""

import numpy as np

from workers.errors import InvalidRequest, NotFound, PerfuseError
from workers.hardware.work import Work
from workers.host.aside import SMALL_MAX
from workers.kv.pool import BlockPool
from workers.kv.pool_client import hashes_of
from workers.memory.shard import RetrievalShard
from workers.memory.shard_file import delete_shard, load_shards, save_shard
from workers.node import Node
from workers.wire.ended import Ended
from workers.wire.kinds.kv import PoolBlocks, PoolGet, PoolPut, PoolStored
from workers.wire.kinds.memory import (
    Hits,
    MemoryState,
    MemoryStateIs,
    Search,
    ShardAdd,
    ShardCreate,
    ShardDelete,
    ShardDeleted,
    ShardSize,
    ShardTakeBack,
)
from workers.wire.message import Message
from workers.wire.roles import Array

# What changes a shard's files, of whatever size, is done by one thread in the order in which it
# came: that of large jobs, the oldest of equals first.
FILE_SIZE = SMALL_MAX

NO_BLOCKS = PoolBlocks(
    np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.uint8)
)


class MemoryServer:
    """Handlers only: what queues here are the tiers of the node's hardware.

    tier             where collections live ("hbf", "ddr", ...)
    pool_tier        where KV blocks live
    pool_bytes       capacity of the KV pool; 0 refuses all blocks
    """

    def __init__(
        self, node: Node, name: str, *, tier: str, pool_tier: str, pool_bytes: int
    ) -> None:
        self._node, self._name = node, name
        self._tier, self._pool_tier = tier, pool_tier
        # What an earlier incarnation left on the disk is there again.
        self._shards = load_shards(node.disk, name)
        self.pool = BlockPool(pool_bytes)
        # Stores that were deleted: what was said of them before must not bring them back.
        self._ended = Ended()
        port = node.port(name)
        port.on(ShardCreate, self._store_create)
        port.on(ShardAdd, self._store_add)
        port.on(ShardTakeBack, self._store_take_back)
        port.on(ShardDelete, self._store_delete)
        port.on(Search, self._search)
        port.on(PoolPut, self._pool_put)
        port.on(PoolGet, self._pool_get)
        port.on(MemoryState, self._state)

    # -- retrieval ---------------------------------------------------------------------------------

    def _file(self, store: str) -> str:
        """Two servers may share a node's disk."""
        return f"{self._name}/{store}"

    def _shard(self, store: str) -> RetrievalShard:
        if store not in self._shards:
            known = ", ".join(self._shards) or "none"
            raise NotFound(f"{self._name} has no vector store {store!r}; it has {known}")
        return self._shards[store]

    async def _store_create(self, message: Message[ShardCreate]) -> None:
        """An empty shard, durable from now on; one that is here already stays as it is."""
        self._ended.check(message)
        store, dim = message.content.store, message.content.dim
        if store not in self._shards:
            shard = self._shards[store] = RetrievalShard(dim)
            await self._node.hardware.beside(
                FILE_SIZE, lambda: save_shard(self._node.disk, self._file(store), shard)
            )

    async def _store_add(self, message: Message[ShardAdd]) -> ShardSize:
        """Add passages, then make them durable: the answer means that a crash will not lose
        them.
        """
        self._ended.check(message)
        content = message.content
        shard = self._shard(content.store)

        def add() -> None:
            if self._shards.get(content.store) is not shard:
                raise NotFound(f"vector store {content.store!r} was deleted meanwhile")
            shard.add(content.passage_id, content.vectors, content.texts, content.file_ids)
            save_shard(self._node.disk, self._file(content.store), shard)

        try:
            if content.preloaded:  # written before the cluster started: costs nothing now
                await self._node.hardware.beside(FILE_SIZE, add)
            else:
                work = Work.of("store_add", writes={self._tier: content.vectors.nbytes})
                await self._node.hardware.run(work._replace(host_size=FILE_SIZE), add)
        except ValueError as error:
            raise InvalidRequest(str(error)) from error
        return ShardSize(shard.num_passages, shard.bytes_held())

    async def _store_take_back(self, message: Message[ShardTakeBack]) -> ShardSize:
        """Whatever of it is here goes, and what is still on its way is refused."""
        self._ended.check(message)
        content = message.content
        shard = self._shard(content.store)

        def take_back() -> None:
            removed = shard.take_back(
                range(content.first_id, content.first_id + content.num_passages)
            )
            if removed and self._shards.get(content.store) is shard:
                save_shard(self._node.disk, self._file(content.store), shard)

        await self._node.hardware.beside(FILE_SIZE, take_back)
        return ShardSize(shard.num_passages, shard.bytes_held())

    async def _store_delete(self, message: Message[ShardDelete]) -> ShardDeleted:
        self._ended.note(message)
        store = message.content.store
        known = self._shards.pop(store, None) is not None
        if known:
            await self._node.hardware.beside(
                FILE_SIZE, lambda: delete_shard(self._node.disk, self._file(store))
            )
        return ShardDeleted(known)

    async def _search(self, message: Message[Search]) -> Hits:
        """The best `top_k` passages of this shard for each query [q, dim]."""
        shard = self._shard(message.content.store)
        queries, top_k = message.content.queries, message.content.top_k
        try:
            found = await self._node.hardware.run(
                shard.scan_work(len(queries), self._tier), shard.search, queries, top_k
            )
        except ValueError as error:
            raise InvalidRequest(str(error)) from error
        return Hits(tuple(map(tuple, found)))

    # -- KV pool -----------------------------------------------------------------------------------

    async def _pool_put(self, message: Message[PoolPut]) -> PoolStored:
        blocks: Array = message.content.blocks
        keys = hashes_of(message.content.hash)
        work = Work.of("pool_put", writes={self._pool_tier: blocks.nbytes})
        checksums = message.content.checksum.tolist()
        result = await self._node.hardware.run(work, self.pool.put, keys, list(blocks), checksums)
        return PoolStored(len(result.new), len(result.refused))

    async def _pool_get(self, message: Message[PoolGet]) -> PoolBlocks:
        """The longest leading run of the wanted blocks that is here, perhaps none."""
        wanted = hashes_of(message.content.hash)
        keys = wanted[: self.pool.longest_prefix(wanted)]
        if not keys:
            return NO_BLOCKS
        self.pool.pin(keys)
        try:
            first = self.pool.get(keys[:1])[0]
            work = Work.of("pool_get", reads={self._pool_tier: len(keys) * first.nbytes})
            blocks = await self._node.hardware.run(work, self.pool.get, keys)
            checksums = np.array(self.pool.checksums(keys), dtype=np.uint64)
        except PerfuseError:
            return NO_BLOCKS  # a block went bad: none is safe
        finally:
            self.pool.unpin(keys)
        return PoolBlocks(np.arange(len(keys), dtype=np.int64), checksums, np.stack(blocks))

    def _state(self, message: Message[MemoryState]) -> MemoryStateIs:
        return MemoryStateIs(
            {name: s.num_passages for name, s in self._shards.items()},
            sum(s.bytes_held() for s in self._shards.values()),
            self.pool.num_blocks,
            self.pool.bytes_held,
            self.pool.num_pinned,
        )
