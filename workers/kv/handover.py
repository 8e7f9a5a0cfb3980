"""KV blocks on their way from a prefill chip to a decode chip.

Blocks leave while prefill still runs, in logical order, each with its index and checksum, as many
chunks at once as the path holds; in pieces where the far end's are of another form
(`workers.kv.crossing`). The destination writes and acknowledges them; only when all are
does it hear that it may start, and the source lets go. What the destination refuses as damaged, or
as another's, it computes itself: `start` says from where on.

    prefill   chunk 0 ▓▓  chunk 1 ▓▓  chunk 2 ▓▓ + first token
    wire             blocks 0-3 ──▶   blocks 4-7 ──▶   blocks 8-9 ──▶  start(first token)
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from workers.errors import CorruptMessage, PerfuseError
from workers.host.longest import Longest
from workers.host.mailbox import Mailbox
from workers.kv.checksums import NO_SUMS, sealed
from workers.kv.crossing import Crossing, alike
from workers.kv.identity import Owner, tokens_number
from workers.kv.parts import KvParts
from workers.model.base import ChipModel
from workers.node import Node
from workers.wire.kinds.kv import KvBlocks, Start
from workers.wire.port import Port
from workers.wire.roles import Array


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a sequence's KV goes: the decode chip, the first block it does not have yet, until when
    anybody wants it, and the tokens that there will be before it decodes.
    """

    chip: str
    first_block: int
    deadline_ns: int = 0
    token_ids: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Pieces that were computed, from a logical index on, and the blocks that hold them; the last
    ones with the first token.
    """

    first: int
    num: int
    block_ids: tuple[int, ...]
    first_token: int | None
    computed_ns: int


@dataclass(frozen=True, slots=True)
class _Heard:
    """What came of the pieces of a chunk."""

    first: int
    num: int
    error: PerfuseError | None


class Pins(Protocol):
    """Keeps blocks from reuse; see `workers.kv.blocks.BlockManager`."""

    def pin(self, block_ids: Iterable[int]) -> None: ...

    def unpin(self, block_ids: Sequence[int]) -> None: ...


class Handover:
    """The source's half for one sequence: call `computed` as prefill goes on; `send` is its
    task.
    """

    def __init__(
        self,
        node: Node,
        port: Port,
        model: ChipModel,
        blocks: Pins,
        request_id: str,
        destination: Destination,
        timeout_ns: int,
        crossing: Crossing | None = None,
        parts: KvParts | None = None,
    ) -> None:
        """crossing   to that chip; None: it keeps KV as this one does
        parts      where a chip of the cluster has several ranks; None: none has
        """
        crossing = crossing or alike(model).to(destination.chip)
        self._parts, self._crossing = parts, crossing
        self._node, self._port, self._model, self._blocks = node, port, model, blocks
        self._request_id, self._to, self._timeout_ns = request_id, destination, timeout_ns
        self._owner = Owner(request_id, node.epoch, tokens_number(destination.token_ids))
        self._next = crossing.first(destination.first_block)
        self._first_refused: int | None = None
        in_parts = parts is not None and parts.are_for(destination.chip)
        self._num_thin = 0 if in_parts else crossing.num_thin(len(destination.token_ids))
        if not crossing.kept.thin_layers:  # nothing of thin ones is kept, and none of it goes
            self._next = max(self._next, self._num_thin)
        self._events: Mailbox[_Chunk | _Heard] = node.mailbox()
        # As many as the sequence has blocks: a slow link fills the cache with what waits for it,
        # and then nobody is admitted.
        self._num_waiting = 0
        self.approximate_from: int | None = None  # position from which on what was computed is
        self._unread: dict[int, tuple[int, ...]] = {}  # first index -> blocks, pinned until read
        self._longest = node.queues.setdefault(f"KV chunks of {port.worker}", Longest())

    def computed(self, block_ids: Sequence[int], num_tokens: int, first_token: int | None) -> None:
        """`num_tokens` tokens are in the cache; the last, partial block goes with the first
        token.
        """
        crossing, first = self._crossing, self._next
        end = num_tokens // self._model.block_size * crossing.per_block
        if first_token is not None:
            end = -(-num_tokens // crossing.piece.size)
        if first < self._num_thin < end:
            self._leave(block_ids, first, self._num_thin, None)
            first = self._num_thin
        self._leave(block_ids, first, end, first_token)
        # Never back: a preempted prefill computes again what has gone, and what lies beneath
        # `first_block` is shared there.
        self._next = max(end, first)

    def _leave(
        self, block_ids: Sequence[int], first: int, end: int, first_token: int | None
    ) -> None:
        """A chunk more: these pieces, of which either all are thin or none is."""
        num = max(0, end - first)
        fresh = tuple(block_ids[self._crossing.holding(first, num)]) if num else ()
        if fresh:
            # Its sequence may be preempted, and others write into its blocks, before they are read.
            self._blocks.pin(fresh)
            self._unread[first] = fresh
        if fresh or first_token is not None:
            now_ns = self._node.clock.now()
            self._events.put(_Chunk(first, num, fresh, first_token, now_ns))
            self._num_waiting += 1
            self._longest.seen(self._num_waiting)

    def close(self) -> None:
        """Nothing more is read: let go of the blocks."""
        for first in list(self._unread):
            self._was_read(first)

    def _was_read(self, first: int) -> None:
        block_ids = self._unread.pop(first, None)
        if block_ids is not None:
            self._blocks.unpin(block_ids)

    async def send(self) -> None:
        """Send all blocks, and when all are acknowledged, `start`.

        Raises PeerDead, DeadlineExceeded, or what the destination refused with.
        """
        waiting: deque[_Chunk] = deque()
        on_their_way: list[asyncio.Task[None]] = []
        num, last = 0, None
        try:
            while last is None or waiting or num:
                event = await self._events.get()
                if isinstance(event, _Chunk):
                    last = event if event.first_token is not None else None
                    waiting.append(event)
                else:
                    self._check(event)
                    num -= event.num
                while waiting and self._has_room(num - waiting[0].num):
                    chunk = waiting.popleft()
                    self._num_waiting -= 1
                    if chunk.num:
                        num += chunk.num
                        on_their_way.append(self._begin(chunk))
        finally:
            for task in on_their_way:
                task.cancel()
        assert last.first_token is not None, "the last chunk has it"
        told = last.first_token, last.computed_ns, self.approximate_from, self._num_taken
        await self._call(Start(*told, self._owner.number))

    def _check(self, heard: _Heard) -> None:
        """What was refused as damaged is computed there. Raises what else went wrong."""
        if heard.error is None:
            return
        if not isinstance(heard.error, CorruptMessage):
            raise heard.error
        refused = self._first_refused
        self._first_refused = heard.first if refused is None else min(refused, heard.first)

    @property
    def _num_taken(self) -> int | None:
        """Leading tokens of which nothing was refused; None: all."""
        first = self._first_refused
        return None if first is None else first * self._crossing.piece.size

    def _has_room(self, num: int) -> bool:
        """Whether the path is not full of so many pieces. One chunk more may go, which is read
        while the others travel.
        """
        return num * self._crossing.piece_bytes <= self._port.path_bytes(self._to.chip)

    def _begin(self, chunk: _Chunk) -> "asyncio.Task[None]":
        return self._node.spawn(self._send_blocks(chunk), f"blocks of {self._request_id}")

    async def _send_blocks(self, chunk: _Chunk) -> None:
        first, num, crossing = chunk.first, chunk.num, self._of(chunk)
        error: PerfuseError | None = None
        try:
            if self._parts is not None and self._parts.are_for(self._to.chip):
                what = first, num, chunk.block_ids
                await self._parts.send(self._request_id, self._to.chip, *what, self._to.deadline_ns)
                self._was_read(first)  # not before: other ranks read them as well
            else:
                work = crossing.read_work(num)
                pieces = await self._node.hardware.run(work, self._taken, chunk)
                self._was_read(first)
                index, told = np.arange(first, first + num, dtype=np.int64), crossing.told
                await self._call(sealed(KvBlocks(index, NO_SUMS, pieces, *told), self._owner))
        except PerfuseError as failed:
            error = failed
        self._events.put(_Heard(first, num, error))

    def _taken(self, chunk: _Chunk) -> Array:
        crossing, blocks = self._of(chunk), self._model.read_blocks(chunk.block_ids)
        _, places = crossing.places(range(chunk.first, chunk.first + chunk.num))
        return crossing.taken(blocks, places)

    def _of(self, chunk: _Chunk) -> Crossing:
        return self._crossing.thin if chunk.first < self._num_thin else self._crossing

    async def _call(self, content: KvBlocks | Start) -> None:
        """A link may be as slow as whoever asked has patience: KV is the most that a request sends
        at once, and shares its way with that of others.
        """
        await self._port.call(
            self._to.chip,
            content,
            deadline_ns=max(self._node.clock.now() + self._timeout_ns, self._to.deadline_ns),
            request_id=self._request_id,
        )
