"""KV that comes to a chip from another one: verified, and written where its sequence awaits it.

A sequence decodes over what was found sound and written here, whatever its source says has come;
what is damaged, another's or missing is computed here instead.
"""

from collections.abc import Callable, Sequence
from typing import Any

from configs.states import StateAtEnd
from workers.chip.approximate import mark_sent
from workers.chip.arriving import awaited_blocks, check_awaits_kv
from workers.chip.job import Job
from workers.chip.scheduler import Scheduler
from workers.chip.split import Split
from workers.errors import CorruptMessage
from workers.hardware.work import Work
from workers.kv.checksums import verify_blocks
from workers.kv.crossing import Crossing, came
from workers.kv.identity import Owner, tokens_number
from workers.kv.parts import amount_in, write_part, write_work
from workers.kv.receipt import Receipt
from workers.model.base import ChipModel
from workers.node import Node
from workers.wire.kinds.kv import KvBlocks, Start
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
        self._known, self._is_here, self._chip = known, is_here, port.worker
        self._num_refused = self._num_recomputed = 0
        self._amount = 0  # of all parts of a piece; known once one has come
        port.on(KvBlocks, self._blocks)
        self._ranked = split.model
        if split.model is not None:
            port.on(KvPart, self._part)

    @property
    def figures(self) -> dict[str, int]:
        """Since start: messages with something that is damaged or another's; tokens of which KV was
        to come and is computed here. Those that are none are left out.
        """
        found = {"kv_refused": self._num_refused, "kv_recomputed": self._num_recomputed}
        return {name: count for name, count in found.items() if count}

    def start(self, scheduler: Scheduler, message: Message[Start]) -> None:
        """A sequence decodes, once it has computed what is not here. Raises InvalidRequest if no KV
        of it is awaited, CorruptMessage if another's has come, ValueError as the scheduler does.
        """
        job, start = self._known(message), message.content
        check_awaits_kv(job.seq)
        tokens = self._receipt(job).tokens
        if start.whose != Owner(message.request_id, message.source_epoch, tokens).number:
            raise self._refused(
                message, CorruptMessage(f"start of {job.seq.seq_id} is of another by its name")
            )
        job.was_sent(start.prefilled_ns, self._node.clock.now())
        mark_sent(scheduler, job, start.approximate_from)
        num_arrived = self._num_arrived(job, start)
        scheduler.received(job.seq.seq_id, [start.token], num_arrived)
        job.receipt = None

    def _num_arrived(self, job: Job, start: Start) -> int | None:
        """Leading tokens whose KV is here; None: all that are awaited."""
        seq, receipt = job.seq, self._receipt(job)
        size, expected = self._kept.form.size, seq.num_expected
        begin = seq.num_cached
        if self._kept.sliding is not None and not self._kept.thin_layers:  # none of it is kept
            begin = max(begin, size * self._kept.sliding.num_thin(expected, size))
        here = receipt.leading(begin, expected)
        if start.num_taken is not None:
            here = min(here, max(start.num_taken, seq.num_cached))
        if here >= expected:
            return None
        if isinstance(self._kept.sliding, StateAtEnd):  # there is none in the middle
            here = 0
        self._num_recomputed += expected - here
        self._note("kv recomputed", seq.seq_id, f"from token {here} of {expected}")
        return here

    async def _blocks(self, message: Message[KvBlocks]) -> None:
        content, model, crossing = message.content, self._model, came(self._kept, message.content)

        def write(ids: BlockIds, places: Sequence[int]) -> None:
            blocks = content.blocks
            if not crossing.is_plain:
                blocks = crossing.put_into(model.read_blocks(ids), places, blocks)
            model.write_blocks(ids, blocks)

        work = crossing.write_work(len(content.index))
        await self._written(message, crossing, work, write, (0, 0), 1)

    async def _part(self, message: Message[KvPart]) -> None:
        content, model, crossing = message.content, self._ranked, came(self._kept, message.content)
        assert model is not None, "only a rank's model is sent parts"

        def write(ids: BlockIds, places: Sequence[int]) -> None:
            write_part(model, crossing, ids, places, content)
            if not self._amount:
                self._amount = amount_in(model.read_blocks(ids[:1]))

        where, amount = (content.layer, content.head), amount_in(content.blocks)
        work = write_work(self._node, crossing, content.blocks)
        await self._written(message, crossing, work, write, where, amount)

    async def _written(
        self,
        message: Message[KvBlocks] | Message[KvPart],
        crossing: Crossing,
        work: Work,
        write: Callable[[BlockIds, Sequence[int]], None],
        where: tuple[int, int],
        amount: int,
    ) -> None:
        """Checked, then written: so much of each piece. Raises InvalidRequest, CorruptMessage."""
        job = self._known(message)
        check_awaits_kv(job.seq)
        indexes = message.content.index.tolist()
        logical, places = crossing.places(indexes)
        receipt = self._verified(job, message)
        crossing.check_held(indexes)
        block_ids = awaited_blocks(job.seq, logical)

        def write_live() -> None:
            """Not after an abort: its blocks are another's by now, perhaps one of the same name.
            Nor once it has them all, or computes them.
            """
            if self._is_here(job) and job.receipt is receipt:
                write(block_ids, places)
                whole = self._whole(job, crossing, indexes)
                receipt.wrote(crossing.piece.size, whole, where, amount, self._amount or 1)

        await self._node.hardware.run(work, write_live)

    def _verified(self, job: Job, message: Message[KvBlocks] | Message[KvPart]) -> Receipt:
        """Where what is written of a sequence is noted. Raises CorruptMessage."""
        receipt, content = self._receipt(job), message.content
        tokens = receipt.tokens if isinstance(content, KvBlocks) else 0
        try:
            owner = Owner(message.request_id, message.source_epoch, tokens)
            verify_blocks(message.request_id, content, owner)
        except CorruptMessage as error:
            self._refused(message, error)
            raise
        return receipt

    def _receipt(self, job: Job) -> Receipt:
        """Of a sequence whose KV is awaited."""
        if job.receipt is None:
            job.receipt = Receipt(tokens_number(job.seq.token_ids), self._kept.held)
        return job.receipt

    def _refused(self, message: Message[Any], error: CorruptMessage) -> CorruptMessage:
        self._num_refused += 1
        self._note("kv refused", message.request_id, error.message)
        return error

    def _whole(self, job: Job, crossing: Crossing, indexes: Sequence[int]) -> Sequence[int]:
        """Those of some pieces that are all that is wanted of them: a thin one is where no layer
        with a window meets its tokens.
        """
        sliding = self._kept.sliding
        if not crossing.is_thin or sliding is None:
            return indexes
        num_thin = sliding.num_thin(job.seq.num_expected, self._kept.form.size)
        return [index for index in indexes if index < num_thin * crossing.per_block]

    def _note(self, what: str, seq_id: str, detail: str) -> None:
        now_ns = self._node.clock.now()
        self._node.trace.note(now_ns, what, self._chip, detail, request_id=seq_id)
