"""Token all-to-all between chips and expert shards.

One message a shard carries all tokens of this step that have an expert there, each with its own
identity, route and weights; a shard answers with one weighted partial sum a token. Partial sums
merge in the order of the shards, so the bits do not depend on who answered first. A shard that does
not answer is missed by its own tokens alone: they are named, and all others have their sums.

    chip                                        shard
      dispatch_send ── rows, experts, weights ──▶ dispatch_receive   (all that wait, from all chips
                                                                     and layers)
      combine_receive ◀── partial sums ────────── combine_send

`dispatch_send` returns a handle, so that a second micro-batch can be sent while the first is on its
way.
"""

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from workers.errors import PerfuseError
from workers.experts.routing import RoutingTable
from workers.experts.spread import Spread, merge
from workers.experts.tokens import Combined, Missing, Tokens
from workers.host.clock.base import Clock
from workers.host.mailbox import Mailbox
from workers.model.numerics import Numerics
from workers.model.program import Sums
from workers.wire.calls import Handled, Pending
from workers.wire.kinds.experts import Combine, Dispatch, Gather
from workers.wire.kinds.switched import Partial, Relayed
from workers.wire.message import Message
from workers.wire.port import Port
from workers.wire.relays import Relays

NONE_LOST: Mapping[str, PerfuseError] = MappingProxyType({})


class Away(Protocol):
    """Tokens that are away."""

    def abandon(self) -> None:
        """Nobody will receive these."""
        ...


@dataclass(slots=True)
class DispatchHandle:
    """Which rows went to which shard, and which could not be sent."""

    sums_TH: Sums
    shards: list[str] = field(default_factory=list)
    rows_by_shard: list[NDArray[np.intp]] = field(default_factory=list)
    pending: list[Pending[Combine]] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)

    def abandon(self) -> None:
        """Nobody will receive these."""
        for pending in self.pending:
            pending.abandon()


class Dispatched(Protocol):
    """One dispatch that reached a shard."""

    @property
    def content(self) -> Dispatch: ...


class DispatchSide:
    """The chip's half: `numerics` says what rows travel as, and how sums merge."""

    def __init__(self, port: Port, clock: Clock, numerics: Numerics) -> None:
        self._port, self._clock, self._numerics = port, clock, numerics

    def _spread(self, tokens: Tokens, table: RoutingTable) -> Spread:
        """Over the shards, as they travel."""
        return Spread(
            table,
            tokens.requests_T,
            tokens.positions_T,
            self._numerics.sent(tokens.hidden_TH),
            tokens.experts_TK,
            tokens.weights_TK,
        )

    async def dispatch_send(
        self,
        tokens: Tokens,
        table: RoutingTable,
        timeout_ns: int,
        lost: Mapping[str, PerfuseError] = NONE_LOST,
    ) -> Away:
        """Send each token once to each shard that holds one of its experts.

        lost   shards that are not asked: their tokens are missing at once
        """
        handle = DispatchHandle(self._numerics.zero(tokens.hidden_TH))
        deadline_ns = self._clock.now() + timeout_ns
        spread = self._spread(tokens, table)
        try:
            for index, run in spread.runs():
                shard, rows = table.shards[index], spread.rows_N[run]
                if shard in lost:
                    handle.missing.append(Missing(shard, rows, lost[shard]))
                    continue
                content = spread.dispatch(tokens.layer, run, tokens.cause)
                call = shard, content, deadline_ns, tokens.request_id
                try:
                    posted = self._port.post_now(*call)
                    if posted is None or posted[1] is not None:
                        pending = await self._in_turn(posted, *call)
                    else:  # nearly always: then nothing is awaited
                        pending = posted[0]
                except PerfuseError as error:
                    handle.missing.append(Missing(shard, rows, error))
                else:
                    handle.shards.append(shard)
                    handle.rows_by_shard.append(rows)
                    handle.pending.append(pending)
        except BaseException:
            handle.abandon()
            raise
        return handle

    async def _in_turn(
        self,
        posted: tuple[Pending[Combine], Awaitable[None] | None] | None,
        shard: str,
        content: Dispatch,
        deadline_ns: int,
        request_id: str,
    ) -> Pending[Combine]:
        """Where there is no credit, or the wire is full. Raises what came of waiting."""
        if posted is None:
            return await self._port.post(
                shard, content, deadline_ns=deadline_ns, request_id=request_id
            )
        pending, turn = posted
        assert turn is not None, "else nobody waits"
        try:
            await turn
        except BaseException:
            pending.abandon()
            raise
        return pending

    async def combine_receive(self, handle: Away) -> Combined:
        """All partial sums, merged, and the rows that lack one: what a shard does not answer in
        time, or answers with an error, is missing, and raises nothing.
        """
        assert isinstance(handle, DispatchHandle), "another side's"
        try:
            await self._port.settled(handle.pending)
        except BaseException:
            handle.abandon()
            raise
        missing, rows, partials = list(handle.missing), [], []
        for shard, rows_t, pending in zip(
            handle.shards, handle.rows_by_shard, handle.pending, strict=True
        ):
            try:
                partials.append(pending.take().sums)
                rows.append(rows_t)
            except PerfuseError as error:
                missing.append(Missing(shard, rows_t, error))
        merge(self._numerics, handle.sums_TH, rows, partials)
        return Combined(handle.sums_TH, tuple(missing))


class CombineSide:
    """The shard's half. `waiting` is bounded by those who dispatch: each waits for its answers, and
    has no more than its credits on their way.
    """

    def __init__(self, port: Port, waiting: Mailbox[Dispatched], numerics: Numerics) -> None:
        self._port, self._waiting = port, waiting
        port.on(Dispatch, self._arrived)
        port.on(Relayed, self._relayed)
        self._relays = Relays(port.endpoint, numerics)

    def _arrived(self, message: Message[Dispatch]) -> Handled:
        self._waiting.put(message)
        return Handled.LATER

    def _relayed(self, message: Message[Relayed]) -> None:
        """A dispatch came by way of a switch: from here on it is as if the chip had sent it."""
        told = message.content
        content = Dispatch(
            told.layer, told.request, told.position, told.experts, told.weights, told.hidden,
            told.computed_for, told.gather,
        )  # fmt: skip
        call = Message(
            content, told.asker, message.destination, message.request_id, told.deadline_ns,
            message_id=told.call, concluded=told.concluded, due_ns=message.due_ns,
        )  # fmt: skip
        self._relays.called(call, told.epoch)

    def backlog(self) -> int:
        return len(self._waiting)

    async def dispatch_receive(self) -> list[Dispatched]:
        """All that waits, from all chips and layers, oldest first; waits for at least one."""
        return await self._waiting.get_due()

    async def combine_send(self, batch: Sequence[Dispatched], sums: Sequence[Sums]) -> None:
        """Answer each dispatch with its partial sums [t, H], as they travel."""
        for dispatched, sums_TH in zip(batch, sums, strict=True):
            gather = dispatched.content.gather
            if gather is None:
                self._answer(dispatched, sums_TH)
            else:
                await self._answer_by(gather, dispatched, sums_TH)

    def _answer(self, dispatched: Dispatched, sums_TH: Sums) -> None:
        assert isinstance(dispatched, Message), "another side's"
        self._port.reply(dispatched, Combine(sums_TH, dispatched.content.computed_for))

    async def _answer_by(self, gather: Gather, dispatched: Dispatched, sums_TH: Sums) -> None:
        assert isinstance(dispatched, Message), "another side's"
        told = dispatched.content
        partial = Partial(
            told.request, told.position, sums_TH, gather, dispatched.message_id, dispatched.source,
            dispatched.caller.epoch, told.computed_for,
        )  # fmt: skip
        answer = Combine(sums_TH, told.computed_for)
        await self._relays.answer_by(dispatched, answer, gather.until_ns, gather.switch, partial)

    async def refuse(self, batch: Sequence[Dispatched], error: Exception) -> None:
        """No sums will come: whoever waits for them hears why."""
        for dispatched in batch:
            self._refuse(dispatched, error)

    def _refuse(self, dispatched: Dispatched, error: Exception) -> None:
        assert isinstance(dispatched, Message), "another side's"
        self._port.refuse(dispatched, error)
