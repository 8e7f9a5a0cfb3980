"""Where evicted KV blocks lie: in a slower tier of the chip's own machine, or in the pool of the
memory servers, where a read is a message.

A store is a cache: it may refuse, evict and forget. What comes out of it is what went in, by its
checksum, or nothing.
"""

from collections import OrderedDict
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from workers.errors import PerfuseError
from workers.hardware.work import Work
from workers.kv.checksums import block_checksums, verify_shared
from workers.kv.identity import block_checksum
from workers.kv.lru_store import Block, LruStore, num_leading
from workers.kv.pool_client import FETCH_SHARE, STORED_MAX, hash_columns, server_of
from workers.node import Node
from workers.wire.kinds.kv import PoolBlocks, PoolGet, PoolPut
from workers.wire.port import Port
from workers.wire.roles import Array


@dataclass(slots=True)
class StoreCounts:
    """Blocks since start: written; gone to make room; with no room to be had, or not heard of; and
    those that came back changed, or not at all.
    """

    stored: int = 0
    evicted: int = 0
    no_room: int = 0
    failed: int = 0


class Store(Protocol):
    """Blocks by content hash; arrays are [block, ...]."""

    counts: StoreCounts

    def num_leading(self, keys: Seq[bytes]) -> int:
        """How many of the first keys are here without a gap. Counts as no use."""
        ...

    def touch(self, keys: Seq[bytes]) -> None:
        """Used now; unknown ones are passed over."""
        ...

    def drop(self, keys: Seq[bytes]) -> None:
        """Forget them."""
        ...

    async def put(self, keys: Seq[bytes], blocks: Array) -> None:
        """Store what finds room; returns when it is written."""
        ...

    async def get(self, keys: Seq[bytes], request_id: str) -> Array:
        """The longest leading run that is here, sound, perhaps none. Raises no PerfuseError."""
        ...


class TierStore:
    """In `tier` of this machine: `capacity_bytes`, the least recently used go first.

    block_bytes   what one block is charged
    """

    def __init__(self, node: Node, tier: str, capacity_bytes: int, block_bytes: int) -> None:
        self._hardware, self._tier, self._block_bytes = node.hardware, tier, block_bytes
        self._blocks = LruStore(capacity_bytes)
        self.counts = StoreCounts()

    @property
    def bytes_held(self) -> int:
        return self._blocks.bytes_held

    def num_leading(self, keys: Seq[bytes]) -> int:
        return num_leading(keys, self._blocks)

    def touch(self, keys: Seq[bytes]) -> None:
        self._blocks.touch(keys)

    def drop(self, keys: Seq[bytes]) -> None:
        for key in keys:
            if key in self._blocks:
                self._blocks.remove(key)

    async def put(self, keys: Seq[bytes], blocks: Array) -> None:
        work = Work.of("offload_write", writes={self._tier: len(keys) * self._block_bytes})
        await self._hardware.run(work, self._insert, keys, blocks)

    def _insert(self, keys: Seq[bytes], blocks: Array) -> None:
        for key, array in zip(keys, blocks, strict=True):
            if key in self._blocks:
                continue
            room = self._blocks.make_room(self._block_bytes, frozenset())
            if room is None:
                self.counts.no_room += 1
                continue
            self.counts.evicted += len(room)
            block = Block(np.array(array), block_checksum(array, key), self._block_bytes)
            self._blocks.insert(key, block)
            self.counts.stored += 1

    async def get(self, keys: Seq[bytes], request_id: str) -> Array:
        keys = keys[: self.num_leading(keys)]
        self._blocks.pin(keys)  # others are written meanwhile
        try:
            work = Work.of("offload_read", reads={self._tier: len(keys) * self._block_bytes})
            return await self._hardware.run(work, self._sound, keys)
        finally:
            self._blocks.unpin(keys)
            self._blocks.touch(keys)

    def _sound(self, keys: Seq[bytes]) -> Array:
        found: list[Array] = []
        for key in keys:
            if key not in self._blocks:  # invalidated while it was read
                break
            block = self._blocks[key]
            if block_checksum(block.array, key) != block.checksum:
                self.counts.failed += 1
                self._blocks.remove(key)
                break
            found.append(block.array)
        return np.array(found)


class ServerStore:
    """In the memory servers' pool: each block on the server that its hash says. What is there is
    what this chip has put there and not missed since.
    """

    def __init__(
        self,
        node: Node,
        port: Port,
        servers: tuple[str, ...],
        timeout_ns: int,
        numbers: str | None = None,
    ) -> None:
        """numbers   of this chip's KV, where they are not the cluster's"""
        self._numbers = numbers
        self._node, self._port = node, port
        self._servers, self._timeout_ns = servers, timeout_ns
        self._there: OrderedDict[bytes, None] = OrderedDict()
        self.counts = StoreCounts()

    def num_leading(self, keys: Seq[bytes]) -> int:
        return num_leading(keys, self._there)

    def touch(self, keys: Seq[bytes]) -> None:
        for key in reversed(keys):
            if key in self._there:
                self._there.move_to_end(key)

    def drop(self, keys: Seq[bytes]) -> None:
        for key in keys:
            self._there.pop(key, None)

    def _by_server(self, keys: Seq[bytes]) -> dict[str, list[int]]:
        """Indexes of keys, in order."""
        rows: dict[str, list[int]] = {}
        for index, key in enumerate(keys):
            rows.setdefault(server_of(self._servers, key), []).append(index)
        return rows

    async def put(self, keys: Seq[bytes], blocks: Array) -> None:
        for server, rows in self._by_server(keys).items():
            mine, arrays = [keys[i] for i in rows], blocks[rows]
            try:
                reply = await self._port.call(
                    server,
                    PoolPut(
                        hash_columns(mine), block_checksums(arrays, mine), arrays, self._numbers
                    ),
                    deadline_ns=self._node.clock.now() + self._timeout_ns,
                )
            except PerfuseError as error:
                self._failed("pool_put", len(mine), error)
                continue
            num_taken = len(mine) - reply.refused  # the last ones are refused
            self.counts.stored += num_taken
            self.counts.no_room += reply.refused
            self._there.update(dict.fromkeys(mine[:num_taken]))
        while len(self._there) > STORED_MAX:
            self._there.popitem(last=False)

    async def get(self, keys: Seq[bytes], request_id: str) -> Array:
        found: dict[int, Array] = {}
        for server, rows in self._by_server(keys).items():
            blocks = await self._got(server, [keys[i] for i in rows], request_id)
            found.update(zip(rows, blocks, strict=False))
        num_found = next((i for i in range(len(keys)) if i not in found), len(keys))
        self.drop([key for i, key in enumerate(keys) if i not in found])
        self.touch(keys)
        return np.array([found[i] for i in range(num_found)])

    async def _got(self, server: str, keys: Seq[bytes], request_id: str) -> Array | list[Array]:
        try:
            reply: PoolBlocks = await self._port.call(
                server,
                PoolGet(hash_columns(keys), self._numbers),
                deadline_ns=self._node.clock.now() + self._timeout_ns // FETCH_SHARE,
                request_id=request_id,
            )
            verify_shared(request_id, reply, keys)
        except PerfuseError as error:
            self._failed("pool_get", len(keys), error)
            return []
        if len(reply.index) < len(keys):
            self.counts.failed += len(keys) - len(reply.index)
        return reply.blocks if len(reply.index) else []

    def _failed(self, what: str, num_blocks: int, error: PerfuseError) -> None:
        self.counts.failed += num_blocks
        self._node.trace.note(self._node.clock.now(), "offload failed", what, error.message)
