"""Runs layer programs on a chip: launches here, sums over ranks, experts wherever they live, rows
to the next stage.

Programs take turns. A turn is all that one program does until it waits for others; while it waits,
the next one computes. With two micro-batches, one layer of each:

    A  ▓ launch ▓┄┄ dispatch ─ experts ─ combine ┄┄▓ launch ▓┄┄
    B            ▓ launch ▓┄┄ dispatch ─ experts ─ combine ┄┄▓ launch ▓┄┄

Turns go round in a fixed order, in one task, whoever answers first: so launches and messages have
one order.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from workers.chip.batch import Batch
from workers.chip.ways import Away, FarKeys, NextStage, Reducer, Slices
from workers.errors import PerfuseError
from workers.experts.exchange import Away as Dispatched
from workers.experts.exchange import DispatchSide
from workers.experts.hints import HintSide
from workers.experts.late import Lateness, without_late
from workers.experts.routing import RoutingTable
from workers.experts.tokens import Tokens
from workers.model.numerics import Numerics
from workers.model.program import (
    Attend,
    Compute,
    Experts,
    Gather,
    Program,
    Reduce,
    SendNext,
    Sums,
    Swap,
)
from workers.node import Node


@dataclass(slots=True)
class Lane:
    """One program, and the tokens that it is for.

    result   what the program returned; None where all its sequences failed on the way
    """

    batch: Batch
    program: Program[Any]
    result: Any = None
    away: Away | None = None


@dataclass(slots=True)
class Spent:
    """Emulated time of a step: in launches, and in waiting for others while nothing computed.

    lost   shards that did not answer, and why: they are not asked again in this step, so a silent
           one costs its timeout once
    """

    compute_ns: int = 0
    wait_ns: int = 0
    lost: dict[str, PerfuseError] = field(default_factory=dict)


class Interpreter:
    """reducer      None where this chip is the only rank: a share is the sum
    next_stage   None where this chip holds the last layer
    hints        None where shards read nothing ahead
    far          None where all keys are on this chip
    slices       None where no other rank holds slices of this one's keys
    late         when a share of experts is, and what then; None: when the time of a call is over,
                 and its rows fail
    """

    def __init__(
        self,
        node: Node,
        exchange: DispatchSide,
        timeout_ns: int,
        *,
        reducer: Reducer | None = None,
        next_stage: NextStage | None = None,
        hints: HintSide | None = None,
        far: FarKeys | None = None,
        late: Lateness | None = None,
        slices: Slices | None = None,
    ) -> None:
        self._node, self._clock, self._hardware = node, node.clock, node.hardware
        self._exchange, self._replaces = exchange, late is not None and late.replaces
        self._timeout_ns = timeout_ns if late is None else min(timeout_ns, late.after_ns)
        self._reducer, self._next_stage, self._hints = reducer, next_stage, hints
        self._far, self._slices = far, slices

    async def run(
        self, lanes: Sequence[Lane], table: RoutingTable, spent: Spent | None = None
    ) -> Spent:
        """Every program to its end. What experts did not answer fails sequences of its batch;
        what a reducer, a stage or a kernel raises ends all of it.

        spent   by what ran before in the same step; it is gone on with
        """
        spent, going = spent or Spent(), deque(lanes)
        try:
            while going:
                lane = going.popleft()
                if await self._take_turn(lane, table, spent):
                    going.append(lane)
        finally:
            for lane in lanes:
                lane.program.close()
                if lane.away is not None:
                    lane.away.abandon()
        return spent

    async def _take_turn(self, lane: Lane, table: RoutingTable, spent: Spent) -> bool:
        """Until it waits for others (True) or ends."""
        clock, begun_ns = self._clock, self._clock.now()
        sent: Any = None
        if lane.away is not None:
            sent = await lane.away.receive()
            lane.away = None
            spent.wait_ns += clock.now() - begun_ns
            if lane.batch.is_lost:
                return False
        while True:
            try:
                op = lane.program.send(sent)
            except StopIteration as end:
                lane.result = end.value
                return False
            begun_ns = clock.now()
            if isinstance(op, Compute):
                sent = await self._hardware.run_for(lane.batch.cause, op.work, op.kernel, *op.args)
                spent.compute_ns += clock.now() - begun_ns
            elif isinstance(op, Reduce) and self._reducer is None:
                sent = op.partial
            elif isinstance(op, SendNext):
                assert self._next_stage is not None, "the last stage has nobody to send to"
                await self._next_stage.send(lane.batch, op.rows_T)
                sent = None
                spent.wait_ns += clock.now() - begun_ns
            elif isinstance(op, Attend):
                await self._attend(op, lane, spent)
                return True
            else:
                lane.away = await self._depart(op, lane.batch, table, spent)
                spent.wait_ns += clock.now() - begun_ns
                return True

    async def _attend(self, op: Attend, lane: Lane, spent: Spent) -> None:
        """Queries leave for keys that are elsewhere; meanwhile those that are here."""
        assert self._far is not None, "all keys are here"
        begun_ns = self._clock.now()
        lane.away = away = await self._far.send(lane.batch, op)
        sent_ns = self._clock.now()
        own, cause = op.own, lane.batch.cause
        part = await self._hardware.run_for(cause, own.work, own.kernel, *own.args)
        spent.wait_ns += sent_ns - begun_ns
        spent.compute_ns += self._clock.now() - sent_ns
        lane.away = _Attended(part, away)

    async def _depart(
        self, op: Reduce | Gather | Swap | Experts, batch: Batch, table: RoutingTable, spent: Spent
    ) -> Away:
        if isinstance(op, Reduce):
            assert self._reducer is not None
            return await self._reducer.send(batch, op.partial)
        if isinstance(op, Gather | Swap):
            assert self._slices is not None, "all keys are here"
            return await self._slices.send(batch, op)
        tokens = batch.tokens(op)
        if self._node.on_routed is not None:
            self._node.on_routed(tokens)
        table = self._exchange.living(table)
        handle = await self._exchange.dispatch_send(tokens, table, self._timeout_ns, spent.lost)
        if self._hints is not None:
            self._hints.after(op, table, batch.cause)
        asked = tokens, table
        replaces = asked if self._replaces else None
        return _AtExperts(self._exchange, handle, batch, spent, self._node.numerics, replaces)


@dataclass(frozen=True, slots=True)
class _Attended:
    """What this chip found over its own keys, and queries that are away."""

    own: Any
    away: Away

    async def receive(self) -> tuple[Any, Any]:
        return self.own, await self.away.receive()

    def abandon(self) -> None:
        self.away.abandon()


@dataclass(frozen=True, slots=True)
class _AtExperts:
    """A batch's tokens, dispatched. `replaces`: what was asked, where late shares are replaced."""

    exchange: DispatchSide
    handle: Dispatched
    batch: Batch
    spent: Spent
    numerics: Numerics
    replaces: tuple[Tokens, RoutingTable] | None

    async def receive(self) -> Sums:
        combined = await self.exchange.combine_receive(self.handle)
        if self.replaces is not None and combined.missing:
            combined, rows = without_late(self.numerics, combined, *self.replaces)
            self.batch.approximate(rows)
        self.batch.lack_experts(combined.missing)
        for one in combined.missing:
            self.spent.lost.setdefault(one.shard, one.error)
        return combined.sums_TH

    def abandon(self) -> None:
        self.handle.abandon()
