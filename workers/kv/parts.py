"""KV between chips of which at least one has several ranks: each rank that holds some of a block
sends, to each rank of the other chip that is to hold some of that, what both have in common. Of
ranks that hold the same one sends (`workers.kv.takers`).

    prefill, 1 rank      decode, 2 ranks
    heads 0-3   ── kv_part: heads 0-1 ──▶ rank 0
                ── kv_part: heads 2-3 ──▶ rank 1
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from configs.heads import Heads
from configs.parts import Part, Ranks
from workers.errors import PerfuseError
from workers.hardware.work import Work
from workers.kv.checksums import NO_SUMS, sealed
from workers.kv.crossing import Crossing, Forms, Kept, alike
from workers.kv.identity import Owner
from workers.kv.takers import Taker, takers_of
from workers.model.base import RankModel
from workers.node import Node
from workers.parallel.team import Team
from workers.wire.calls import Pending
from workers.wire.kinds.ranks import KvPart, KvSend
from workers.wire.port import Port
from workers.wire.roles import Array

# Where blocks have their heads, by the number of their axes: [block, layer, 2, token, head,
# number], and digests [block, layer, span, unit, token].
HEAD_AXES = {6: 4, 5: 3}


def part_in(content: KvPart) -> Part:
    """Which layers and heads a message carries."""
    blocks, axis = content.blocks, HEAD_AXES.get(content.blocks.ndim)
    heads = None if axis is None else Heads(content.head, blocks.shape[axis])
    return Part(content.layer, blocks.shape[1], heads, embeds=False, projects=False)


def amount_in(blocks: Array) -> int:
    """Layers times heads of each block."""
    axis = HEAD_AXES.get(blocks.ndim)
    return int(blocks.shape[1]) * (1 if axis is None else int(blocks.shape[axis]))


def write_work(node: Node, crossing: Crossing, blocks: Array) -> Work:
    return crossing.moving("kv_write", lambda kind: node.numerics.of_kv(kind).kv_bytes(blocks))


def write_part(
    model: RankModel,
    crossing: Crossing,
    held: tuple[int, ...],
    places: Sequence[int],
    content: KvPart,
) -> None:
    """Into these blocks, at these of their pieces. Raises ValueError where the shape does not
    fit.
    """
    part, blocks = part_in(content), content.blocks
    if not crossing.is_plain:
        blocks = crossing.put_into(_cut(model.read_blocks(held), model.part, part), places, blocks)
    model.write_part(held, part, blocks)


def _cut(blocks: Array, held: Part, wanted: Part) -> Array:
    layers, heads = held.window_of(wanted)
    index = [slice(None), layers, *[slice(None)] * (blocks.ndim - 2)]
    axis = HEAD_AXES.get(blocks.ndim)
    if axis is not None:
        index[axis] = heads
    return np.ascontiguousarray(blocks[tuple(index)])


class KvParts:
    """A chip's way to the ranks of others, as one of its ranks has it.

    own     what this rank holds        team    the others of its chip; None where there are none
    ranks   chip -> its ranks, of the whole cluster
    forms   how chips keep KV; None: all as this one does
    """

    def __init__(
        self,
        node: Node,
        port: Port,
        model: RankModel,
        own: Part,
        ranks: Mapping[str, Ranks],
        timeout_ns: int,
        team: Team | None = None,
        forms: Forms | None = None,
    ) -> None:
        self._forms = forms or alike(model)
        self._node, self._port, self._model, self._own = node, port, model, own
        self._ranks, self._timeout_ns, self._team = ranks, timeout_ns, team

    @property
    def kept(self) -> Kept:
        """How this rank keeps KV."""
        return self._forms.kept

    def are_for(self, chip: str) -> bool:
        """Whether KV for that chip goes in parts: it, or this one, has several ranks."""
        return self._team is not None or self._ranks[chip].is_split

    async def send(
        self,
        request_id: str,
        chip: str,
        first: int,
        num: int,
        block_ids: Sequence[int],
        until_ns: int,
    ) -> None:
        """`num` pieces of this chip's, from a logical index on, which these blocks hold: returns
        when all ranks of the other have them. Raises PerfuseError.
        """
        team = self._team
        names = () if team is None else team.ranks.names
        told = None if num == len(block_ids) else num
        order = KvSend(chip, first, tuple(block_ids), until_ns, told)
        others = await self._posted(
            [(name, order) for name in names if name != self._port.worker], request_id, until_ns
        )
        try:
            await self.send_own(request_id, order)
            await self._taken(others)
        finally:
            for pending in others:
                pending.abandon()

    async def send_own(self, request_id: str, order: KvSend) -> None:
        """What this rank holds of them, and is the one to send."""
        crossing = self._forms.to(order.destination)
        shares = self._shares(order, crossing)
        if not shares:
            return
        read = np.unique(np.concatenate([index for _, index in shares]))
        logical, places = crossing.places(read.tolist())
        begin = order.first // crossing.per_block
        held = tuple(order.blocks[block - begin] for block in logical)

        def taken() -> Array:
            return crossing.taken(self._model.read_blocks(held), places)

        pieces = await self._node.hardware.run(crossing.read_work(len(read)), taken)
        owner, wanted = Owner(request_id, self._node.epoch), list[tuple[str, KvPart]]()
        for taker, index in shares:
            some = _cut(pieces[np.searchsorted(read, index)], self._own, taker.part)
            head = 0 if taker.part.heads is None else taker.part.heads.first
            where = taker.part.first_layer, head
            content = KvPart(index, NO_SUMS, *where, some, *crossing.told[:2])
            wanted.append((taker.name, sealed(content, owner)))
        pendings = await self._posted(wanted, request_id, order.until_ns)
        try:
            await self._taken(pendings)
        finally:
            for pending in pendings:
                pending.abandon()

    def _shares(self, order: KvSend, crossing: Crossing) -> list[tuple[Taker, NDArray[np.int64]]]:
        """Who is sent which pieces; nobody none."""
        num = len(order.blocks) if order.num is None else order.num
        index = np.arange(order.first, order.first + num, dtype=np.int64)
        size, kept = crossing.piece.size, crossing.kept
        index = index[kept.held.holds(index * size)]
        to = self._ranks[order.destination]
        takers = takers_of(self._own, kept.form.size, to, crossing.other.size)
        shares = [(taker, index[taker.held.holds(index * size)]) for taker in takers]
        return [(taker, some) for taker, some in shares if len(some)]

    async def _posted(
        self, wanted: Sequence[tuple[str, Any]], request_id: str, until_ns: int
    ) -> list[Pending[Any]]:
        deadline_ns = max(self._node.clock.now() + self._timeout_ns, until_ns)
        pendings = list[Pending[Any]]()
        try:
            for name, content in wanted:
                pendings.append(
                    await self._port.post(
                        name, content, deadline_ns=deadline_ns, request_id=request_id
                    )
                )
        except PerfuseError:
            for pending in pendings:
                pending.abandon()
            raise
        return pendings

    async def _taken(self, pendings: Sequence[Pending[Any]]) -> None:
        await self._port.settled(pendings)
        for pending in pendings:
            pending.take()
