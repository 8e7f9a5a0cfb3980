"""A memory server: retrieval shards that it scans beside their memory, and a pool of KV blocks that
all chips share.

What it is told:

    router ── store_create, store_add, store_delete ──▶ passages of a collection, with their vectors
    router ── search ─▶ the best passages of this server's part
    chip   ── pool_put, pool_get ─▶ KV blocks by content hash
"""

from collections import OrderedDict

import numpy as np

from workers.errors import InvalidRequest, NotFound, PerfuseError
from workers.hardware.work import Work
from workers.kv.pool import BlockPool
from workers.kv.pool_client import hashes_of
from workers.memory.shard import RetrievalShard
from workers.memory.shard_file import delete_shard, load_shard, save_shard
from workers.node import Node
from workers.wire.calls import Reply
from workers.wire.message import Array, Message


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
        self._shards: OrderedDict[str, RetrievalShard] = OrderedDict()
        self.pool = BlockPool(pool_bytes)
        port = node.port(name)
        port.on("store_create", self._store_create)
        port.on("store_add", self._store_add)
        port.on("store_delete", self._store_delete)
        port.on("search", self._search)
        port.on("pool_put", self._pool_put)
        port.on("pool_get", self._pool_get)
        port.on("state", self._state)

    # -- retrieval ---------------------------------------------------------------------------------

    def _shard(self, store: str) -> RetrievalShard:
        if store not in self._shards:
            known = ", ".join(self._shards) or "none"
            raise NotFound(f"{self._name} has no vector store {store!r}; it has {known}")
        return self._shards[store]

    def _store_create(self, message: Message) -> Reply:
        """An empty shard, or the one that a restart finds on the disk."""
        store, dim = message.body["store"], message.body["dim"]
        if store not in self._shards:
            try:
                self._shards[store] = load_shard(self._node.disk, store)
            except FileNotFoundError:
                self._shards[store] = RetrievalShard(dim)
        return Reply()

    async def _store_add(self, message: Message) -> Reply:
        """Add passages, then make them durable: the answer means that a crash will not lose
        them.
        """
        shard = self._shard(message.body["store"])
        body, vectors = message.body, message.tensors["vectors"]

        def add() -> None:
            ids = message.columns["passage_id"]
            shard.add(ids, vectors, body["texts"], body["file_ids"])
            save_shard(self._node.disk, body["store"], shard)

        try:
            if body["preloaded"]:  # written before the cluster started: costs nothing now
                add()
            else:
                work = Work.of("store_add", writes={self._tier: vectors.nbytes})
                await self._node.hardware.run(work, add)
        except ValueError as error:
            raise InvalidRequest(str(error)) from error
        return Reply(body={"num_passages": shard.num_passages, "bytes": shard.bytes_held()})

    def _store_delete(self, message: Message) -> Reply:
        store = message.body["store"]
        known = self._shards.pop(store, None) is not None
        if known:
            delete_shard(self._node.disk, store)
        return Reply(body={"known": known})

    async def _search(self, message: Message) -> Reply:
        """The best `top_k` passages of this shard for each query [q, dim]."""
        shard = self._shard(message.body["store"])
        queries, top_k = message.tensors["queries"], message.body["top_k"]
        try:
            found = await self._node.hardware.run(
                shard.scan_work(len(queries), self._tier), shard.search, queries, top_k
            )
        except ValueError as error:
            raise InvalidRequest(str(error)) from error
        return Reply(body={"hits": [[hit.to_body() for hit in hits] for hits in found]})

    # -- KV pool -----------------------------------------------------------------------------------

    async def _pool_put(self, message: Message) -> Reply:
        blocks: Array = message.tensors["blocks"]
        keys = hashes_of(message.columns["hash"])
        work = Work.of("pool_put", writes={self._pool_tier: blocks.nbytes})
        checksums = message.columns["checksum"].tolist()
        result = await self._node.hardware.run(work, self.pool.put, keys, list(blocks), checksums)
        return Reply(body={"new": len(result.new), "refused": len(result.refused)})

    async def _pool_get(self, message: Message) -> Reply:
        """The longest leading run of the wanted blocks that is here, perhaps none."""
        wanted = hashes_of(message.columns["hash"])
        keys = wanted[: self.pool.longest_prefix(wanted)]
        if not keys:
            return Reply(columns={"index": np.zeros(0, np.int64)})
        self.pool.pin(keys)
        try:
            first = self.pool.get(keys[:1])[0]
            work = Work.of("pool_get", reads={self._pool_tier: len(keys) * first.nbytes})
            blocks = await self._node.hardware.run(work, self.pool.get, keys)
            checksums = np.array(self.pool.checksums(keys), dtype=np.uint64)
        except PerfuseError:
            return Reply(columns={"index": np.zeros(0, np.int64)})  # a block went bad: none is safe
        finally:
            self.pool.unpin(keys)
        return Reply(
            columns={"index": np.arange(len(keys), dtype=np.int64), "checksum": checksums},
            tensors={"blocks": np.stack(blocks)},
        )

    def _state(self, message: Message) -> Reply:
        return Reply(
            body={
                "stores": {name: s.num_passages for name, s in self._shards.items()},
                "store_bytes": sum(s.bytes_held() for s in self._shards.values()),
                "pool_blocks": self.pool.num_blocks,
                "pool_bytes": self.pool.bytes_held,
                "pool_pinned": self.pool.num_pinned,
            }
        )
