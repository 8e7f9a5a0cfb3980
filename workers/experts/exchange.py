"""Token all-to-all between chips and expert shards.

One message a shard carries all tokens of this step that have an expert there, each with its own
identity, route and weights; a shard answers with one weighted partial sum a token. Partial sums
merge in the order of the shards, so the bits do not depend on who answered first. A shard that does
not answer is missed by its own tokens alone: they are named, and all others have their sums. Where
it is gone, those of its experts that have other copies are asked for there (`other_copies`).

    chip                                        shard
      dispatch_send ── rows, experts, weights ──▶ dispatch_receive   (all that wait, from all chips
                                                                     and layers)
      combine_receive ◀── partial sums ────────── combine_send

`dispatch_send` returns a handle, so that a second micro-batch can be sent while the first is on its
way.
"""

from collections.abc import Awaitable, Mapping
from types import MappingProxyType

from workers.errors import PerfuseError
from workers.experts.adding import Adding
from workers.experts.again import ask_again
from workers.experts.answers import Answers
from workers.experts.handle import Away, DispatchHandle, Lost
from workers.experts.other_copies import ask_other_copies
from workers.experts.routing import RoutingTable
from workers.experts.spread import Spread, merge
from workers.experts.stand_ins import StandIns
from workers.experts.tokens import Combined, Missing, Tokens
from workers.hardware.additions import Additions
from workers.host.clock.base import Clock
from workers.model.numerics import Numerics
from workers.wire.calls import Pending
from workers.wire.kinds.experts import Combine, Dispatch
from workers.wire.port import Port

__all__ = ["NONE_LOST", "Away", "DispatchHandle", "DispatchSide"]

NONE_LOST: Mapping[str, PerfuseError] = MappingProxyType({})


class DispatchSide:
    """The chip's half: `numerics` says what rows travel as, and how sums merge; `stand_ins`, who is
    asked in place of a shard that is gone; `answers` waits for them.
    """

    def __init__(
        self,
        port: Port,
        clock: Clock,
        numerics: Numerics,
        stand_ins: StandIns,
        answers: Answers,
    ) -> None:
        self._port, self._clock, self._numerics = port, clock, numerics
        self._stand_ins, self._answers = stand_ins, answers
        self._additions = Additions(port.endpoint.hardware, clock)

    @property
    def figures(self) -> dict[str, int]:
        """How often spares were asked, and others beside a shard; empty where there are none."""
        stand_ins = self._stand_ins
        spares = {"spares_asked": stand_ins.num_asked} if stand_ins.has_any else {}
        return spares | self._answers.figures

    def living(self, table: RoutingTable) -> RoutingTable:
        """The same without copies on shards that are gone, where there are others."""
        return self._stand_ins.living(table)

    def _handle(self, tokens: Tokens, table: RoutingTable, deadline_ns: int) -> DispatchHandle:
        adding = None
        if self._additions.are_charged:
            adding = Adding(self._additions, self._numerics, len(tokens.positions_T), tokens.cause)
        zero_TH = self._numerics.zero(tokens.hidden_TH)
        handle = DispatchHandle(zero_TH, table.shards, adding=adding)
        handle.table = None if table.copies is None else table
        if self._stand_ins.silent:
            self._answers.ask_silent(deadline_ns)
        return handle

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
        deadline_ns = self._clock.now() + timeout_ns
        handle = self._handle(tokens, table, deadline_ns)
        spread = self._spread(tokens, table)
        try:
            for index, run in spread.runs():
                shard, rows = table.shards[index], spread.rows_N[run]
                if shard in lost:
                    handle.missing.append(Missing(shard, rows, lost[shard]))
                    continue
                content = spread.dispatch(tokens.layer, run, tokens.cause)
                call = self._stand_ins.of(shard), content, deadline_ns, tokens.request_id
                try:
                    posted = self._port.post_now(*call)
                    if posted is None or posted[1] is not None:
                        pending = await self._in_turn(handle, posted, *call)
                    else:  # nearly always: then nothing is awaited
                        pending = posted[0]
                except PerfuseError as error:
                    handle.not_sent(Lost(shard, rows, *call[1:], error))
                else:
                    handle.await_sums_of(shard, rows, pending)
        except BaseException:
            handle.abandon()
            raise
        return handle

    async def _in_turn(
        self,
        handle: DispatchHandle,
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
            await self._answers.in_turn(handle, turn, deadline_ns)
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
            await self._answers.settled(handle)
            await ask_again(self._port, self._stand_ins, handle, self._answers)
            if handle.table is not None:
                await ask_other_copies(self._port, self._stand_ins, handle, self._answers)
            handle.give_up_unsent()
            if handle.adding is not None:
                await handle.adding.done(self._clock)
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
                missing.append(Missing(shard, rows_t, handle.instead.get(pending, error)))
        merge(self._numerics, handle.sums_TH, rows, partials)
        return Combined(handle.sums_TH, tuple(missing))
