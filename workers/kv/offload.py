"""KV offload of one chip: blocks that its cache evicts go to a slower store, and come back when
their tokens are asked for again, instead of being computed again.

    evicted ─▶ rule ─▶ copied ─▶ read of the KV tier ─▶ write into the store
                                 (the next step waits)   (nobody waits)
    head of the queue ─▶ in the store? ─▶ read of the store ─▶ write of the KV tier ─▶ admitted

A preempted sequence's blocks stay findable on the chip until somebody needs them, so they go the
same way. Blocks that lie in the store already are not written again: a write is what flash lasts
for. What goes wrong costs a block that is computed again, never a request.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from workers.chip.scheduler import Scheduler
from workers.chip.sequence import Sequence, State
from workers.kv.blocks import Adoption
from workers.kv.checksums import kv_work
from workers.kv.offload_admission import Rule, Uses
from workers.kv.offload_store import Store
from workers.model.base import ChipModel
from workers.node import Node
from workers.wire.roles import Array

# Evicted blocks that are copied and not written yet. ASSUMED: a copy engine's queue; what finds it
# full is not kept.
LEAVING_MAX = 256


@dataclass(slots=True)
class OffloadCounts:
    """Since start, in blocks; `saved` in tokens.

    evicted    that the chip's cache let go of        known    of these, in the store already
    refused    by the rule of admission               busy     because too many were on their way
    returned   that came back                         saved    tokens found there and not computed
    """

    evicted: int = 0
    known: int = 0
    refused: int = 0
    busy: int = 0
    returned: int = 0
    saved: int = 0


class Offload:
    """Is the watcher of a chip's blocks, and its scheduler's Elsewhere."""

    def __init__(
        self, node: Node, model: ChipModel, scheduler: Scheduler, store: Store, rule: Rule,
        uses: Uses,
    ) -> None:  # fmt: skip
        self._node, self._model, self._scheduler = node, model, scheduler
        self._store, self._rule, self._uses = store, rule, uses
        self._copied: list[tuple[bytes, Array]] = []
        self._leaving: dict[bytes, None] = {}
        self._is_bringing = False
        self._brought: tuple[Sequence, int, int] | None = None  # whose, its tokens from and to
        self.counts = OffloadCounts()
        scheduler.blocks.watcher = self
        scheduler.roster.elsewhere = self

    # -- out ---------------------------------------------------------------------------------------

    def evicted(self, block_id: int, content: bytes | None) -> None:
        """Copied at once: whoever took the block has not written it yet."""
        assert content is not None, "a cached block has a hash"
        self.counts.evicted += 1
        if content in self._leaving or self._store.num_leading((content,)):
            self.counts.known += 1
            self._store.touch((content,))
        elif len(self._leaving) >= LEAVING_MAX:
            self.counts.busy += 1
        elif not self._rule.admits(content, self._model.block_bytes, self._node.clock.now()):
            self.counts.refused += 1
        else:
            self._leaving[content] = None
            self._copied.append((content, self._model.read_blocks((block_id,))[0]))

    def invalidated(self, content: bytes | None) -> None:
        if content is not None:
            self._leaving.pop(content, None)
            self._store.drop((content,))

    async def read_out(self) -> None:
        """Before a step, which writes where they were: what was evicted is read."""
        if not self._copied:
            return
        copied, self._copied = self._copied, []
        work = kv_work(self._model, len(copied), "kv_read")
        await self._node.hardware.run(work, _copied_already)
        self._node.spawn(self._write(copied), "offload")

    async def _write(self, copied: list[tuple[bytes, Array]]) -> None:
        sound = [(content, block) for content, block in copied if content in self._leaving]
        try:
            if sound:
                keys = [content for content, _ in sound]
                await self._store.put(keys, np.array([block for _, block in sound]))
        finally:
            gone = [content for content, _ in copied if content not in self._leaving]
            self._store.drop(gone)  # invalidated while they were written
            for content, _ in copied:
                self._leaving.pop(content, None)

    # -- back --------------------------------------------------------------------------------------

    def asked(self, seq: Sequence) -> None:
        self._uses.asked(seq.block_hashes)

    def lost(self, seq: Sequence) -> None:
        self._uses.expect(seq.full_block_hashes())

    def brings(self, seq: Sequence) -> bool:
        if self._is_bringing:
            return True
        adoption = self._scheduler.take_back(seq, self._store.num_leading)
        if adoption is None:
            return False
        self._is_bringing = True
        self._node.spawn(self._bring(seq, adoption), f"return {seq.seq_id}")
        return True

    async def _bring(self, seq: Sequence, adoption: Adoption) -> None:
        size, missing = self._model.block_size, adoption.missing
        num_arrived = 0
        try:
            blocks = await self._store.get([adoption.hashes[i] for i in missing], seq.seq_id)
            if len(blocks):
                block_ids = tuple(adoption.block_ids[i] for i in missing[: len(blocks)])
                work = kv_work(self._model, len(blocks), "kv_write")
                await self._node.hardware.run(work, self._model.write_blocks, block_ids, blocks)
                num_arrived = len(blocks)
        finally:
            self._is_bringing = False
            end = missing[num_arrived] if num_arrived < len(missing) else len(adoption.hashes)
            self._scheduler.blocks.install(adoption, end)
        self.counts.returned += num_arrived
        self._brought = (seq, missing[0] * size, end * size) if num_arrived else None

    def admitted(self, seq: Sequence) -> None:
        if self._brought is not None and self._brought[0] is seq:
            _, begin, end = self._brought
            self.counts.saved += max(0, min(seq.num_computed, end) - begin)
            self._brought = None
        if seq.state is State.PREEMPTED:  # it has come again, as was expected
            self._uses.asked(seq.block_hashes)

    def figures(self) -> Mapping[str, int]:
        """All counts, the store's as well, under names of their own."""
        counts, store = self.counts, self._store.counts
        return {
            "offload_evicted": counts.evicted,
            "offload_known": counts.known,
            "offload_refused": counts.refused,
            "offload_dropped": counts.busy + store.no_room,
            "offload_stored": store.stored,
            "offload_stored_bytes": store.stored * self._model.block_bytes,
            "offload_store_evicted": store.evicted,
            "offload_failed": store.failed,
            "offload_returned": counts.returned,
            "offload_saved_tokens": counts.saved,
        }


def _copied_already() -> None:
    """The bytes were taken when the block was: here its time passes."""
