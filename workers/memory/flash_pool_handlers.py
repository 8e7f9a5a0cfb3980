"""The part of a memory server that keeps KV blocks in a flash file, and what this costs its tier.

All of it is done by the node's thread for large jobs, in the order in which it came: the file takes
one at a time, and waits for its disk. What it then has read, programmed and erased, reclaiming and
levelling too, is what the tier is asked for.
"""

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from workers.errors import PerfuseError
from workers.hardware.work import Demand, Work
from workers.host.aside import SMALL_MAX
from workers.kv.pool import PutResult
from workers.kv.pool_client import hashes_of
from workers.memory.flash_pool import FlashPool, Leading
from workers.memory.pool_handlers import NO_BLOCKS
from workers.node import Node
from workers.wire.kinds.kv import PoolBlocks, PoolDrop, PoolGet, PoolPut, PoolStored
from workers.wire.message import Message
from workers.wire.port import Port

T = TypeVar("T")


class FlashPoolHandlers:
    """Of the pool of the server `name`, whose blocks are in the file behind `tier`."""

    def __init__(self, node: Node, port: Port, name: str, pool: FlashPool, tier: str) -> None:
        self._node, self._name, self._pool, self._tier = node, name, pool, tier
        self._effort = pool.flash.watched()
        self._erases = f"{tier}.erase" in node.hardware.resources
        port.on(PoolPut, self._put)
        port.on(PoolGet, self._get)
        port.on(PoolDrop, self._drop)

    async def _put(self, message: Message[PoolPut]) -> PoolStored:
        """Answered when a crash will not lose what is new."""
        content = message.content
        keys, checksums = hashes_of(content.hash), content.checksum.tolist()

        def put() -> PutResult:
            return self._pool.put(keys, list(content.blocks), checksums)

        result = await self._done("pool_put", put)
        if result.refused:
            now_ns = self._node.clock.now()
            self._node.trace.note(now_ns, "pool refused", self._name, self._pool.refusal)
        return PoolStored(len(result.new), len(result.refused))

    async def _get(self, message: Message[PoolGet]) -> PoolBlocks:
        """The longest leading run of the wanted blocks that is here, whole; perhaps none."""
        wanted = hashes_of(message.content.hash)

        def leading() -> Leading:
            return self._pool.leading(wanted)

        try:
            found = await self._done("pool_get", leading)
        except PerfuseError:
            return NO_BLOCKS  # the file takes no more: nothing is safe
        if not found.blocks:
            return NO_BLOCKS
        checksums = np.array(found.checksums, dtype=np.uint64)
        blocks = np.stack(found.blocks)
        return PoolBlocks(np.arange(len(blocks), dtype=np.int64), checksums, blocks)

    async def _drop(self, message: Message[PoolDrop]) -> None:
        keys = hashes_of(message.content.hash)
        await self._done("pool_drop", lambda: self._pool.drop(keys, even_pinned=True))

    async def _done(self, name: str, job: Callable[[], T]) -> T:
        """Do it, and let the tier take as long as what it came to. Raises PerfuseError where the
        disk fails.
        """

        def counted() -> tuple[T, Work]:
            try:
                result = job()
            except OSError as error:
                raise PerfuseError(f"{self._name} cannot write to its disk: {error}") from error
            finally:
                work = self._work(name)
            return result, work

        result, work = await self._node.hardware.beside(SMALL_MAX, counted)
        await self._node.hardware.run(work, list)
        return result

    def _work(self, name: str) -> Work:
        """All that the file has done since it was last asked; pages lie where it has them."""
        effort, geometry = self._effort.taken(), self._pool.flash.geometry
        size, per_block = geometry.page_bytes, geometry.pages_per_block
        demands = [
            Demand(f"{self._tier}.{way}", len(pages) * size, len(pages), pages=pages)
            for way, pages in (("read", effort.read), ("write", effort.programmed))
            if pages
        ]
        if effort.erased and self._erases:
            num, firsts = len(effort.erased), [block * per_block for block in effort.erased]
            erase = Demand(f"{self._tier}.erase", num * per_block, num, pages=firsts)
            demands.insert(0, erase)
        return Work(name, tuple(demands))
