"""KV that comes to a chip from another one, written where its sequence awaits it."""

from collections.abc import Callable
from typing import Any

from workers.chip.arriving import awaited_blocks
from workers.chip.job import Job
from workers.hardware.work import Work
from workers.kv.checksums import kv_work, verify_blocks
from workers.kv.parts import part_in, write_work
from workers.model.base import ChipModel, RankModel
from workers.node import Node
from workers.wire.kinds.kv import KvBlocks
from workers.wire.kinds.ranks import KvPart
from workers.wire.message import Message
from workers.wire.port import Port

BlockIds = tuple[int, ...]


class Arrivals:
    """Writes whole blocks, and parts of them where the model here can be a rank's.

    known     the job that a message is about; raises NotFound
    is_here   whether it still is the one with its name
    """

    def __init__(
        self,
        node: Node,
        port: Port,
        model: ChipModel,
        ranked: RankModel | None,
        known: Callable[[Message[Any]], Job],
        is_here: Callable[[Job], bool],
    ) -> None:
        self._node, self._model, self._ranked = node, model, ranked
        self._known, self._is_here = known, is_here
        port.on(KvBlocks, self._blocks)
        if ranked is not None:
            port.on(KvPart, self._part)

    async def _blocks(self, message: Message[KvBlocks]) -> None:
        work = kv_work(self._model, len(message.content.index), "kv_write")
        blocks = message.content.blocks
        await self._written(message, work, lambda ids: self._model.write_blocks(ids, blocks))

    async def _part(self, message: Message[KvPart]) -> None:
        content, model = message.content, self._ranked
        assert model is not None, "only a rank's model is sent parts"
        part, work = part_in(content), write_work(self._node, model, content.blocks)
        await self._written(message, work, lambda ids: model.write_part(ids, part, content.blocks))

    async def _written(
        self,
        message: Message[KvBlocks] | Message[KvPart],
        work: Work,
        write: Callable[[BlockIds], None],
    ) -> None:
        """Checked, then written. Raises InvalidRequest, CorruptMessage."""
        job = self._known(message)
        block_ids = awaited_blocks(job.seq, message.content)
        verify_blocks(message.request_id, message.content)
        await self._node.hardware.run(work, self._write_live, job, block_ids, write)

    def _write_live(self, job: Job, block_ids: BlockIds, write: Callable[[BlockIds], None]) -> None:
        """Not after an abort: its blocks are another's by now, perhaps one of the same name."""
        if self._is_here(job):
            write(block_ids)
