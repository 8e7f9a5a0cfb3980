"""A chip's KV that lies with memory servers: blocks that have grown cold go there while a sequence
decodes, and its queries follow them in every layer.

    full blocks   0 1 2 3 4 5 6 | 7 8 | 9: being filled
                  └ far, striped ┘└ kept on the chip ┘

Far blocks are a sequence's first ones. A put that is refused or fails leaves its blocks on the
chip; they are offered again when another block is full. A sequence that has lost far blocks is
computed again, and keeps its blocks on the chip from then on: no token comes of a part of its keys.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from workers.chip.scheduler import Scheduler, Step
from workers.chip.sequence import Sequence as TokenSequence
from workers.errors import DeadlineExceeded, PerfuseError
from workers.kv.checksums import block_checksums, kv_work
from workers.kv.far_queries import FarQueries, KvLost, Striped
from workers.kv.identity import far_owner
from workers.model.base import ChipModel
from workers.model.parts.kv_form import KvForm
from workers.node import Node
from workers.wire.calls import Pending
from workers.wire.kind import Kind
from workers.wire.kinds.near import NearDrop, NearPut, NearStored
from workers.wire.port import Port

A = TypeVar("A")


@dataclass(slots=True)
class Moved:
    """One sequence that has begun to give blocks away.

    number     its name at the servers
    offered    full blocks up to which it has offered its own
    """

    number: int
    offered: int = 0
    is_moving: bool = False


class FarKv:
    """Moves blocks out; `queries` asks for what is found over them.

    keep      full blocks of a sequence that stay on the chip, its newest
    servers   blocks are striped over them
    """

    def __init__(
        self,
        node: Node,
        port: Port,
        model: ChipModel,
        form: KvForm,
        scheduler: Scheduler,
        servers: tuple[str, ...],
        *,
        keep: int,
        mode: Literal["near", "ship"],
        timeout_ns: int,
    ) -> None:
        self.queries = FarQueries(
            node, port, form, servers, model.kv_tier, mode, timeout_ns, self._striped, self._lose
        )
        self._node, self._port, self._form, self._servers = node, port, form, servers
        self._timeout_ns = timeout_ns
        self._model, self._scheduler, self._keep = model, scheduler, keep
        self._moved: dict[str, Moved] = {}
        self._last_number = 0
        self._num_given = self._num_refused = self._num_lost = 0
        self._losers = frozenset[str]()  # sequences that are here, and give nothing away any more
        scheduler.roster.on_let_go = self._let_go

    @property
    def figures(self) -> dict[str, int]:
        """Since start, in blocks: given away; offered and not kept, each time that they were. And
        sequences that have lost some.
        """
        lost = {"near_lost": self._num_lost} if self._num_lost else {}
        return {"near_given": self._num_given, "near_refused": self._num_refused, **lost}

    @property
    def num_sequences(self) -> int:
        """That may hold blocks at the servers: 0 when idle."""
        return len(self._moved)

    def _striped(self, seq: TokenSequence, num_far: int) -> Striped | None:
        moved = self._moved.get(seq.seq_id)
        return None if moved is None else Striped(moved.number, num_far, len(self._servers))

    def _lose(self, seq_ids: Sequence[str], error: KvLost) -> None:
        self._num_lost += len(seq_ids)
        here = (name for name in (*self._losers, *seq_ids) if self._scheduler.get(name))
        self._losers = frozenset(here)
        now_ns = self._node.clock.now()
        for seq_id in seq_ids:
            self._node.trace.note(now_ns, "near lost", self._port.worker, error.message, seq_id)

    def begin(self, step: Step) -> None:
        """Before a step: of each sequence that decodes, blocks that are cold by now begin to
        leave. Does not wait.
        """
        for item in step.items:
            seq = item.seq
            if item.count > 1 or not seq.num_outputs or seq.seq_id in self._losers:
                continue
            full = seq.num_exact_computed() // self._form.block_size
            moved = self._moved.get(seq.seq_id)
            if full - self._keep <= seq.num_far or (moved is not None and full <= moved.offered):
                continue
            if moved is None:
                self._last_number += 1
                moved = self._moved[seq.seq_id] = Moved(self._last_number)
            if not moved.is_moving:
                moved.is_moving, moved.offered = True, full
                block_ids = tuple(seq.block_ids[seq.num_far : full - self._keep])
                self._scheduler.blocks.pin(block_ids)
                self._node.spawn(self._move(seq, moved, block_ids), f"far {seq.seq_id}")

    async def _move(self, seq: TokenSequence, moved: Moved, block_ids: tuple[int, ...]) -> None:
        """Of pinned blocks, the first that are not far."""
        first, blocks = seq.num_far, self._scheduler.blocks
        try:
            try:
                work = kv_work(self._model, len(block_ids), "kv_read")
                run = self._node.hardware.run
                content = await run(work, self._model.read_blocks, block_ids)
            finally:
                blocks.unpin(block_ids)
            # It may be let go meanwhile, and even begin again under its name.
            if self._moved.get(seq.seq_id) is not moved:
                return
            kept = await self._put(seq.seq_id, moved.number, first, content)
            if self._moved.get(seq.seq_id) is not moved:
                await self._drop(seq.seq_id, moved.number)  # what came behind the first drop
            elif kept:
                self._scheduler.give_away(seq.seq_id, first + kept)
                self._num_given += kept
                blocks.on_unpinned()
        finally:
            moved.is_moving = False

    async def _put(self, seq_id: str, number: int, first: int, content: np.ndarray) -> int:
        """How many of the blocks, in order, are kept by their servers."""
        index = np.arange(first, first + len(content), dtype=np.int64)
        stripes = Striped(number, 0, len(self._servers)).servers_of(index)
        whose = far_owner(self._port.worker, number, self._node.epoch).places(index.tolist())
        checksums, is_kept = block_checksums(content, whose), np.zeros(len(content), np.bool_)
        shares = {
            server: mine
            for place, server in enumerate(self._servers)
            if (mine := np.flatnonzero(stripes == place)).size
        }
        puts = {
            server: NearPut(number, index[mine], checksums[mine], content[mine])
            for server, mine in shares.items()
        }
        for server, stored in (await self._answers(seq_id, puts)).items():
            is_kept[shares[server]] = isinstance(stored, NearStored) and stored.kept
        kept = len(content) if is_kept.all() else int(is_kept.argmin())
        self._num_refused += len(content) - kept
        return kept

    def _failed(self, error: PerfuseError) -> None:
        self._node.trace.note(self._node.clock.now(), "near failed", "near_put", error.message)

    def _let_go(self, seq: TokenSequence) -> None:
        """It has lost its blocks, wherever they are."""
        moved = self._moved.pop(seq.seq_id, None)
        if moved is not None:
            self._node.spawn(self._drop(seq.seq_id, moved.number), f"drop {seq.seq_id}")

    async def _drop(self, seq_id: str, number: int) -> None:
        """Said until all have heard it: a silent server holds the blocks. A dead one holds none."""
        drop = NearDrop(np.array([number], dtype=np.uint64))
        servers = list(self._servers)
        while servers:
            answers = await self._answers(seq_id, dict.fromkeys(servers, drop))
            servers = [s for s in servers if isinstance(answers[s], DeadlineExceeded)]

    async def _answers(
        self, seq_id: str, contents: Mapping[str, Kind[A]]
    ) -> dict[str, A | PerfuseError]:
        """Each server is told its own, all at once; what they said, or why they did not."""
        deadline_ns = self._node.clock.now() + self._timeout_ns
        answers: dict[str, A | PerfuseError] = {}
        pending: dict[str, Pending[A]] = {}
        for server, content in contents.items():
            call = self._port.post(server, content, deadline_ns=deadline_ns, request_id=seq_id)
            try:
                pending[server] = await call
            except PerfuseError as error:
                answers[server] = error
        await self._port.settled(list(pending.values()))
        for server, one in pending.items():
            try:
                answers[server] = one.take()
            except PerfuseError as error:
                answers[server] = error
        for answer in answers.values():
            if isinstance(answer, PerfuseError):
                self._failed(answer)
        return answers
