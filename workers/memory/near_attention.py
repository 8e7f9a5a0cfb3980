"""The part of a memory server that keeps KV of running sequences, and attends to it beside its
memory.

    chip ── near_put ────▶ full blocks, verified; all or none find room
    chip ── near_attend ─▶ queries of a layer: parts come back
    chip ── near_fetch ──▶ that layer of the blocks comes back instead
    chip ── near_drop ───▶ the sequence is gone
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from workers.errors import Cancelled, CorruptMessage, InvalidRequest
from workers.hardware.work import Demand, Work
from workers.kv.checksums import block_checksums
from workers.kv.identity import far_owner
from workers.memory.near_room import NearRoom, Owner
from workers.model.parts.kv_form import KvForm
from workers.model.parts.partial import Part
from workers.node import Node
from workers.wire.ended import Ended
from workers.wire.kinds.near import (
    NearAttend,
    NearBlocks,
    NearDrop,
    NearFetch,
    NearParts,
    NearPut,
    NearStored,
)
from workers.wire.membership import Member
from workers.wire.message import Message
from workers.wire.roles import Array

Places = Sequence[list[int]]


def _owner(message: Message[Any], number: int) -> Owner:
    return Owner(message.source, number, message.source_epoch)


class NearAttention:
    """Handlers only: what queues here are the tier and the engine beside it.

    tier     where the blocks are
    engine   whose arithmetic attends: one beside the tier, or the main one
    """

    def __init__(
        self, node: Node, name: str, form: KvForm, num_blocks: int, tier: str, engine: str
    ) -> None:
        self._node, self._name, self._form = node, name, form
        self._tier, self._engine = tier, engine
        self.room = NearRoom(num_blocks)
        self._cache = form.cache(num_blocks)
        self._num_layers = self._cache.num_layers
        self._ended = Ended()  # sequences that were dropped: no put from before brings them back
        port = node.port(name)
        port.on(NearPut, self._put)
        port.on(NearDrop, self._drop)
        port.on(NearAttend, self._attend)
        port.on(NearFetch, self._fetch)
        node.members.on_leave.append(self._left)

    # -- blocks ------------------------------------------------------------------------------------

    async def _put(self, message: Message[NearPut]) -> NearStored:
        """Raises Cancelled, CorruptMessage, InvalidRequest."""
        self._ended.check(message)
        content, owner = message.content, _owner(message, message.content.sequence)
        self._verify(message.request_id, content, owner)
        places = self.room.put(owner, content.index.tolist())
        if places is None:
            return NearStored(False)

        def write() -> None:
            if not self.room.holds(owner):  # its places may be another's by now
                raise Cancelled(f"{message.request_id} was dropped while its KV was written")
            self._cache.write_blocks(np.array(places), np.ascontiguousarray(content.blocks))

        work = Work.of(
            "near_put", writes={self._tier: self._node.numerics.kv_bytes(content.blocks)}
        )
        await self._node.hardware.run(work, write)
        return NearStored(True)

    def _verify(self, request_id: str, content: NearPut, owner: Owner) -> None:
        expected = (len(content.index), self._cache.block_bytes)
        if content.blocks.shape != expected or content.blocks.dtype != np.uint8:
            raise InvalidRequest(
                f"KV blocks of {request_id} are {content.blocks.dtype} {content.blocks.shape}: "
                f"{self._name} takes uint8 {expected}"
            )
        whose = far_owner(*owner).places(content.index.tolist())
        wrong = np.flatnonzero(block_checksums(content.blocks, whose) != content.checksum)
        if wrong.size:
            raise CorruptMessage(
                f"KV block {content.index[wrong[0]]} of {request_id} changed on its way, or is "
                "another's"
            )

    def _drop(self, message: Message[NearDrop]) -> None:
        self._ended.note(message)
        for number in message.content.sequence.tolist():
            self.room.drop(_owner(message, number))

    def _left(self, member: Member, _: str) -> None:
        """A chip is gone, and with it all that it kept here."""
        for worker, node in self._node.members.directory.items():
            if node == member.node:
                self.room.drop_chip(worker)

    # -- attention ---------------------------------------------------------------------------------

    async def _attend(self, message: Message[NearAttend]) -> NearParts:
        """Raises InvalidRequest where queries are not those of this model."""
        content = message.content
        self._check_layer(content.layer)
        counts = content.count.tolist()
        expected, dtype = (sum(counts), *self._form.query_shape), self._form.query_dtype
        if content.queries.shape != expected or content.queries.dtype != dtype:
            raise InvalidRequest(
                f"queries are {content.queries.dtype} {content.queries.shape}: {self._name} takes "
                f"{dtype} {expected}"
            )
        places = self._places(message)
        pairs = [len(held) * self._form.block_size for held in places]
        flops = self._form.flops(sum(c * p for c, p in zip(counts, pairs, strict=True)))
        engine = [Demand(f"{self._engine}.{dtype}", n) for dtype, n in flops.items()]
        work = Work("near_attention", (*engine, self._reads(places)))
        part: Part = await self._node.hardware.run_for(
            content.computed_for,
            work,
            self._form.attend_all,
            self._cache,
            content.layer,
            content.queries,
            places,
            counts,
        )
        found = np.array([len(held) for held in places], dtype=np.int64)
        return NearParts(found, part.out_TND, part.lse_TN, content.computed_for)

    async def _fetch(self, message: Message[NearFetch]) -> NearBlocks:
        content = message.content
        self._check_layer(content.layer)
        places = self._places(message)
        work = Work("near_fetch", (self._reads(places),))
        blocks: Array = await self._node.hardware.run_for(
            content.computed_for, work, self._layer_of, content.layer, places
        )
        found = np.array([len(held) for held in places], dtype=np.int64)
        return NearBlocks(found, blocks, content.computed_for)

    def _layer_of(self, layer: int, places: Places) -> Array:
        """[blocks, bytes of one layer]"""
        flat = np.array([place for held in places for place in held], dtype=np.int64)
        shape = len(flat), self._num_layers, self._cache.block_bytes // self._num_layers
        by_layer = self._cache.read_blocks(flat).reshape(shape)
        return np.ascontiguousarray(by_layer[:, layer])

    def _places(self, message: Message[NearAttend] | Message[NearFetch]) -> Places:
        numbers, limits = message.content.sequence.tolist(), message.content.limit.tolist()
        asked = zip(numbers, limits, strict=True)
        return [self.room.places(_owner(message, number), limit) for number, limit in asked]

    def _reads(self, places: Places) -> Demand:
        """One layer of each block lies by itself."""
        num_blocks = sum(map(len, places))
        num_bytes = num_blocks * self._form.layer_bytes
        return Demand(f"{self._tier}.read", num_bytes, max(1, num_blocks))

    def _check_layer(self, layer: int) -> None:
        if not 0 <= layer < self._num_layers:
            raise InvalidRequest(f"layer is {layer}: it must be 0 to {self._num_layers - 1}")
