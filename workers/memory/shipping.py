"""The part of a memory server that ships what it holds to whoever computes elsewhere: its tier is
read, and the bytes cross the link, but no engine of its own works.
"""

from collections.abc import Callable

import numpy as np

from workers.hardware.work import Work
from workers.memory.id_ranges import IdRanges
from workers.memory.index.exact import BYTES_PER_VALUE
from workers.memory.part import ROWS_MAX
from workers.memory.shard import RetrievalShard
from workers.node import Node
from workers.wire.kinds.shipping import NO_MORE, PassagesAre, PassagesRead, Vectors, VectorsRead
from workers.wire.message import Message
from workers.wire.port import Port

# Of vectors in one message: a server and a chip each hold that much of a search at once. ASSUMED:
# large enough that 4 us there and back are a sixth of its way at 50 GB/s.
PIECE_BYTES_MAX = 1 << 20


class ShipHandlers:
    """`shard_of` gives a store's shard, which is in `tier`, or raises NotFound."""

    def __init__(
        self, node: Node, port: Port, shard_of: Callable[[str], RetrievalShard], tier: str
    ) -> None:
        self._node, self._shard_of, self._tier = node, shard_of, tier
        port.on(VectorsRead, self._vectors)
        port.on(PassagesRead, self._passages)

    async def _vectors(self, message: Message[VectorsRead]) -> Vectors:
        content = message.content
        shard = self._shard_of(content.store)
        among = IdRanges.of(content.first, content.stop)
        most = min(content.num_bytes, PIECE_BYTES_MAX) // (shard.dim * BYTES_PER_VALUE)
        ids, is_last = shard.ids_from(content.first_id, min(max(1, most), ROWS_MAX), among)
        next_id = NO_MORE if is_last else int(ids[-1]) + 1
        num_bytes = len(ids) * shard.dim * BYTES_PER_VALUE
        work = Work.of("vectors_read", reads={self._tier: num_bytes})
        ids, vectors = await self._node.hardware.run(work, shard.vectors_of, ids)
        return Vectors(ids, vectors, next_id)

    async def _passages(self, message: Message[PassagesRead]) -> PassagesAre:
        content = message.content
        shard = self._shard_of(content.store)
        wanted = np.asarray(content.passage_id, np.int64).tolist()
        found = shard.passages_of(wanted)
        num_bytes = sum(len(text.encode()) for text, _ in found)
        await self._node.hardware.run(Work.of("store_read", reads={self._tier: num_bytes}), list)
        return PassagesAre(tuple(text for text, _ in found), tuple(file for _, file in found))
