"""KV that comes to a chip from another one, written where its sequence awaits it."""

from collections.abc import Callable, Sequence
from typing import Any

from workers.chip.arriving import awaited_blocks
from workers.chip.job import Job
from workers.chip.split import Split
from workers.hardware.work import Work
from workers.kv.checksums import verify_blocks
from workers.kv.crossing import Crossing, came
from workers.kv.parts import write_part, write_work
from workers.model.base import ChipModel
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
        split: Split,
        known: Callable[[Message[Any]], Job],
        is_here: Callable[[Job], bool],
    ) -> None:
        self._node, self._model, self._kept = node, model, split.forms_of(model).kept
        self._known, self._is_here = known, is_here
        port.on(KvBlocks, self._blocks)
        self._ranked = split.model
        if split.model is not None:
            port.on(KvPart, self._part)

    async def _blocks(self, message: Message[KvBlocks]) -> None:
        content, model, crossing = message.content, self._model, came(self._kept, message.content)

        def write(ids: BlockIds, places: Sequence[int]) -> None:
            blocks = content.blocks
            if not crossing.is_plain:
                blocks = crossing.put_into(model.read_blocks(ids), places, blocks)
            model.write_blocks(ids, blocks)

        await self._written(message, crossing, crossing.write_work(len(content.index)), write)

    async def _part(self, message: Message[KvPart]) -> None:
        content, model, crossing = message.content, self._ranked, came(self._kept, message.content)
        assert model is not None, "only a rank's model is sent parts"

        def write(ids: BlockIds, places: Sequence[int]) -> None:
            write_part(model, crossing, ids, places, content)

        work = write_work(self._node, crossing, content.blocks)
        await self._written(message, crossing, work, write)

    async def _written(
        self,
        message: Message[KvBlocks] | Message[KvPart],
        crossing: Crossing,
        work: Work,
        write: Callable[[BlockIds, Sequence[int]], None],
    ) -> None:
        """Checked, then written. Raises InvalidRequest, CorruptMessage."""
        job = self._known(message)
        logical, places = crossing.places(message.content.index.tolist())
        block_ids = awaited_blocks(job.seq, logical)
        verify_blocks(message.request_id, message.content)

        def write_live() -> None:
            """Not after an abort: its blocks are another's by now, perhaps one of the same name."""
            if self._is_here(job):
                write(block_ids, places)

        await self._node.hardware.run(work, write_live)
