"""The rank that leads a chip: it schedules and samples, and tells the others each step.

What it says to a rank is numbered, and a rank follows the numbers: so a block is never written for
the one that had it before. Blocks have the same ids on all ranks, hence what the leader knows of
prefixes, preemption and room is true of all. A rank that is lost takes the chip's KV along: all its
requests end, and what is told begins anew under the next generation.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from workers.chip.batch import Batch
from workers.chip.interpreter import Lane, Spent
from workers.chip.sequence import Sequence as TokenSequence
from workers.chip.step import Item, Step
from workers.errors import Cancelled, PerfuseError
from workers.host.mailbox import Mailbox
from workers.kv.blocks import BlockManager
from workers.parallel.running import Running
from workers.parallel.team import Team
from workers.wire.kinds.ranks import ExpectKv, Forget, StepOrder

# More steps than an incarnation runs.
EPOCH_BITS = 40


@dataclass(frozen=True, slots=True)
class _Own:
    """A step that all others know of, and who waits for this rank's part of it."""

    step: int
    batches: list[Batch]
    done: "Mailbox[tuple[list[Lane], Spent] | Exception]"


class Leader:
    """blocks    those of the chip
    on_lost   told when all that the chip has is lost
    """

    def __init__(self, team: Team, running: Running, blocks: BlockManager) -> None:
        self._team, self._running, self._blocks = team, running, blocks
        self._others = [rank for rank in range(len(team.ranks.names)) if rank != team.number]
        self._generation, self._num_orders = 0, 0
        # Numbers of steps rise over incarnations: what is left of an older one is void.
        self._num_steps = team.node.epoch << EPOCH_BITS
        self._told: dict[str, list[int]] = {}  # request -> its blocks, as the ranks know them
        self._ended: list[str] = []
        self.on_lost: Callable[[PerfuseError], None] = lambda _: None
        self._telling = asyncio.Lock()  # orders of steps leave in the order of their numbers
        self._own: Mailbox[_Own] = team.node.mailbox()
        team.node.spawn(self._serve(), f"steps of {team.port.worker}")
        team.on_failure.append(self._begin_anew)

    def check(self) -> None:
        """Raises PeerDead where a rank of the chip is gone."""
        self._team.check()

    async def run(self, step: Step) -> tuple[list[Lane], Spent]:
        """All ranks run it, after those that were asked for before: what comes of this rank's part.
        Raises what ended it.
        """
        number = self._num_steps
        self._num_steps += 1
        self._team.expect(number)
        # As all is now: by the time that it runs here, a sequence may have lost its blocks.
        ids = [token for i in step.items for token in i.seq.token_ids[i.start : i.start + i.count]]
        batches = self._running.batches(step.items, np.array(ids, dtype=np.int64))
        order = self._order(number, step.items)
        done: Mailbox[tuple[list[Lane], Spent] | Exception] = self._team.node.mailbox()
        async with self._telling:
            if order.generation != self._generation:
                raise Cancelled("the chip began anew before this step was told")
            try:
                await self._tell(order, tuple(ids))
            except Exception as error:
                await self._team.give_up(number, error)
                self._begin_anew(_as_ours(error))
                raise
            self._own.put(_Own(number, batches, done))
        found = await done.get()
        if isinstance(found, Exception):
            raise found
        return found

    async def _serve(self) -> None:
        """This rank's part of each step, one after another."""
        while True:
            own = await self._own.get()
            self._team.begin(own.step)
            try:
                own.done.put(await self._running.run(own.step, own.batches))
            except Exception as error:  # whoever asked for it raises it
                own.done.put(error)

    def _order(self, step: int, items: Sequence[Item]) -> StepOrder:
        known, blocks = list[int](), list[tuple[int, ...]]()
        for item in items:
            seq_id, held = item.seq.seq_id, item.seq.block_ids
            told = self._told.get(seq_id, [])
            same = _num_same(told, held)
            known.append(same)
            blocks.append(tuple(held[same:]))
            self._told[seq_id] = list(held)
        generation, number, ended = self._next()
        return StepOrder(
            generation,
            number,
            step,
            tuple(item.seq.seq_id for item in items),
            tuple(item.start for item in items),
            tuple(item.count for item in items),
            tuple(known),
            tuple(blocks),
            (),
            tuple(item.seq.num_prompt for item in items),
            ended,
        )

    async def _tell(self, order: StepOrder, ids: tuple[int, ...]) -> None:
        """Token ids go to those that embed them."""
        for rank in self._others:
            embeds = self._team.ranks.parts[rank].embeds
            await self._team.say(rank, replace(order, token_ids=ids) if embeds else order)

    async def expect(self, seq: TokenSequence) -> None:
        """KV of a sequence will come to all ranks: returns when all know where to. Raises
        PerfuseError.
        """
        team, seq_id = self._team, seq.seq_id
        self._told[seq_id] = list(seq.block_ids)
        generation, number, ended = self._next()
        order = ExpectKv(generation, number, tuple(seq.block_ids), ended)
        deadline_ns = team.node.clock.now() + team.timeout_ns
        pendings = []
        try:
            for rank in self._others:
                name = team.ranks.names[rank]
                pendings.append(
                    await team.port.post(name, order, deadline_ns=deadline_ns, request_id=seq_id)
                )
            await team.port.settled(pendings)
            while pendings:
                pendings.pop(0).take()
        except PerfuseError as error:
            self._begin_anew(error)
            raise
        finally:
            for pending in pendings:
                pending.abandon()

    def ended(self, seq_id: str) -> None:
        """It is gone: the next order says so, before any of its blocks is another's there."""
        if self._told.pop(seq_id, None) is not None:
            self._ended.append(seq_id)

    async def rest(self) -> None:
        """There is nothing to run: what has ended is told."""
        if not self._ended:
            return
        order = Forget(*self._next())
        for rank in self._others:
            try:
                await self._team.say(rank, order)
            except PerfuseError as error:
                self._begin_anew(error)
                return

    def _next(self) -> tuple[int, int, tuple[str, ...]]:
        """Generation and number of an order, and what has ended before it."""
        number, ended = self._num_orders, tuple(self._ended)
        self._num_orders += 1
        self._ended.clear()
        return self._generation, number, ended

    def _begin_anew(self, error: PerfuseError) -> None:
        """Somebody has not heard, or has lost, what was told."""
        self._generation += 1
        self._num_orders = 0
        self._num_steps += 1  # of the next one others may have heard that it failed
        self._told.clear()
        self._ended.clear()
        self._blocks.invalidate(range(self._blocks.num_ids))
        self.on_lost(error)
        self._told.clear()
        self._ended.clear()


def _as_ours(error: Exception) -> PerfuseError:
    return error if isinstance(error, PerfuseError) else PerfuseError(str(error))


def _num_same(told: Sequence[int], held: Sequence[int]) -> int:
    """How many first blocks are the same."""
    pairs = zip(told, held, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(told), len(held)))
