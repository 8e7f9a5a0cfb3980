"""A search by a chip, which has every vector shipped to it: what a machine does that computes
nothing beside its memory.

    router ── search_shipped ─▶ chip ── vectors_read ─▶ each memory server, a piece after the other
                                     ◀── vectors ────── the next is asked for, this one is scanned
                                     ── passages_read ▶ whoever held what was found
    router ◀── hits ───────────

The scan is that of a memory server, and a score depends on its pair alone: the hits are those of a
search near memory, bit for bit.
"""

import threading
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from workers.errors import InvalidRequest
from workers.hardware.work import Work
from workers.memory.hit import Hit
from workers.memory.index.exact import BYTES_PER_VALUE, scan
from workers.memory.part import Part
from workers.memory.shipping import PIECE_BYTES_MAX
from workers.memory.values import check_queries
from workers.node import Node
from workers.wire.calls import Pending
from workers.wire.kinds.memory import Hits
from workers.wire.kinds.shipping import (
    NO_MORE,
    PassagesAre,
    PassagesRead,
    SearchShipped,
    Vectors,
    VectorsRead,
)
from workers.wire.message import Message
from workers.wire.port import Port

# A hit, and which of the servers it is of.
Found = tuple[Hit, str]


class ShippedSearch:
    """One chip's part: a handler. Vectors pass through `tier`, a piece of each server at once."""

    def __init__(self, node: Node, port: Port, tier: str) -> None:
        self._node, self._port, self._tier = node, port, tier
        port.on(SearchShipped, self._search)

    async def _search(self, message: Message[SearchShipped]) -> Hits:
        best: list[list[Found]] = [[] for _ in message.content.queries]
        pending: dict[str, Pending[Vectors]] = {}
        try:
            for server in message.content.servers:
                pending[server] = await self._ask(message, server, 0)
            while pending:
                for server in list(pending):  # in turn, so that all of them go on
                    piece = await pending.pop(server).reply()
                    if piece.next_id != NO_MORE:
                        pending[server] = await self._ask(message, server, piece.next_id)
                    await self._scan(message.content, server, piece, best)
        finally:
            for call in pending.values():
                call.abandon()
        return await self._with_texts(message, best)

    async def _ask(
        self, message: Message[SearchShipped], server: str, first_id: int
    ) -> Pending[Vectors]:
        of = message.content
        content = VectorsRead(of.store, first_id, PIECE_BYTES_MAX, of.first, of.stop)
        return await self._port.post(
            server, content, deadline_ns=message.deadline_ns, request_id=message.request_id
        )

    async def _scan(
        self, content: SearchShipped, server: str, piece: Vectors, best: list[list[Found]]
    ) -> None:
        """Of what was shipped, which is written to the chip's memory and read once."""
        num, dim = piece.vectors.shape
        try:
            check_queries(content.queries, dim, content.top_k)
        except ValueError as error:
            raise InvalidRequest(str(error)) from error
        work = Work.of(
            "search",
            flops={"fp32": 2 * len(content.queries) * num * dim},
            reads={self._tier: num * dim * BYTES_PER_VALUE},
            writes={self._tier: num * dim * BYTES_PER_VALUE},
        )
        found = await self._node.hardware.run(work, _scanned, content, piece)
        for of_query, more in zip(best, found, strict=True):
            of_query.extend((hit, server) for hit in more)
            of_query.sort(key=lambda one: one[0].rank())
            del of_query[content.top_k :]

    async def _with_texts(
        self, message: Message[SearchShipped], best: Sequence[Sequence[Found]]
    ) -> Hits:
        wanted: dict[str, dict[int, None]] = {}
        for hit, server in (one for of_query in best for one in of_query):
            wanted.setdefault(server, {})[hit.passage_id] = None
        pending: list[Pending[PassagesAre]] = []
        known: dict[int, tuple[str, str]] = {}
        try:
            for server, ids in wanted.items():
                content = PassagesRead(message.content.store, np.array(list(ids), np.int64))
                call = await self._port.post(
                    server, content, deadline_ns=message.deadline_ns, request_id=message.request_id
                )
                pending.append(call)
            for ids, call in zip(wanted.values(), pending, strict=True):
                told = await call.reply()
                known.update(zip(ids, zip(told.texts, told.file_ids, strict=True), strict=True))
        finally:
            for call in pending:
                call.abandon()
        return Hits(tuple(tuple(_whole(hit, known) for hit, _ in of_query) for of_query in best))


def _scanned(content: SearchShipped, piece: Vectors) -> list[list[Hit]]:
    """Without texts: they are with the server."""
    num, dim = piece.vectors.shape
    part = Part(dim)
    part.add(piece.passage_id, piece.vectors, [""] * num, [""] * num)
    return scan([part], threading.Lock(), content.queries, content.top_k, None)


def _whole(hit: Hit, known: dict[int, tuple[str, str]]) -> Hit:
    text, file_id = known[hit.passage_id]
    return replace(hit, text=text, file_id=file_id)
