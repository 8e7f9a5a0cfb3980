"""What the tensor-parallel ranks of a stage exchange in a layer.

Shares of sums: every rank sends its own to every other, and merges all in the order of the ranks,
so that each has the same bits. Tokens for experts: each row is dispatched once, by the rank whose
part of the rows it is in, and what came of it goes to the others. So dispatch leaves by as many
links as there are ranks, and no shard is asked twice.

    rows 0-3   rank 0 ── dispatch, combine ──▶ sums of 0-1 ──▶ rank 1
               rank 1 ── dispatch, combine ──▶ sums of 2-3 ──▶ rank 0

What a shard did not answer travels along: a sequence fails on all ranks or on none, and they go on
to ask for the same exchanges in the same order.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from workers.chip.batch import Batch
from workers.errors import PerfuseError, from_body, to_body
from workers.experts.exchange import NONE_LOST, Away, DispatchSide
from workers.experts.routing import NOBODY, RoutingTable
from workers.experts.tokens import Combined, Missing, Tokens
from workers.hardware.energy.phase import Cause
from workers.model.numerics import total
from workers.model.program import Rows, Sums
from workers.parallel.team import Team
from workers.wire.kinds.ranks import Share


class DirectSums:
    """A `Reducer`: every rank's share goes straight to every other rank."""

    def __init__(self, team: Team) -> None:
        self._team = team

    async def send(self, batch: Batch, partial: Rows) -> "Shares":
        team = self._team
        number = team.next_exchange()
        content = Share(team.inbox.step, number, partial, {}, batch.cause)
        for rank in team.peers:
            if rank != team.number:
                await team.say(rank, content)
        return Shares(team, number, partial)


@dataclass(frozen=True, slots=True)
class Shares:
    """This rank's share, sent."""

    team: Team
    number: int
    own: Rows

    async def receive(self) -> Sums:
        team = self.team
        shares = [
            self.own if rank == team.number else (await team.hear(Share, self.number, rank)).rows
            for rank in team.peers
        ]
        return total(team.numerics, shares)

    def abandon(self) -> None:
        """Others' shares are dropped with the step."""


@dataclass(frozen=True, slots=True)
class _Out:
    """This rank's rows at their experts."""

    inner: Away
    number: int
    num_rows: int
    cause: Cause

    def abandon(self) -> None:
        self.inner.abandon()


class SharedDispatch(DispatchSide):
    """A chip's way to its experts, as each of its tensor-parallel ranks has it."""

    def __init__(self, inner: DispatchSide, team: Team) -> None:
        self._inner, self._team = inner, team

    async def dispatch_send(
        self,
        tokens: Tokens,
        table: RoutingTable,
        timeout_ns: int,
        lost: Mapping[str, PerfuseError] = NONE_LOST,
    ) -> Away:
        """Rows of this rank alone ask their experts."""
        num_rows = len(tokens.positions_T)
        own = self._rows(self._team.number, num_rows)
        asked_TK = np.full_like(tokens.experts_TK, NOBODY)
        asked_TK[own] = tokens.experts_TK[own]
        number = self._team.next_exchange()
        tokens = replace(tokens, experts_TK=asked_TK)
        inner = await self._inner.dispatch_send(tokens, table, timeout_ns, lost)
        return _Out(inner, number, num_rows, tokens.cause)

    async def combine_receive(self, handle: Away) -> Combined:
        """Sums of all rows, and all rows that lack one, whichever rank asked for them."""
        assert isinstance(handle, _Out), "another side's"
        team, combined = self._team, await self._inner.combine_receive(handle.inner)
        missing: list[Missing] = []
        own = self._rows(team.number, handle.num_rows)
        if own.start < own.stop:
            content = Share(
                team.inbox.step,
                handle.number,
                combined.sums_TH[own],
                _told(combined.missing),
                handle.cause,
            )
            for rank in team.peers:
                if rank != team.number:
                    await team.say(rank, content)
        for rank in team.peers:
            rows = self._rows(rank, handle.num_rows)
            if rank == team.number:
                missing += combined.missing
            elif rows.start < rows.stop:
                share = await team.hear(Share, handle.number, rank)
                combined.sums_TH[rows] = share.rows
                missing += _heard(share)
        return Combined(combined.sums_TH, tuple(missing))

    def _rows(self, rank: int, num_rows: int) -> slice:
        """A rank's part: as even as can be, the first ones have one more."""
        size, place = len(self._team.peers), rank - self._team.peers.start
        share, rest = divmod(num_rows, size)
        start = place * share + min(place, rest)
        return slice(start, start + share + (place < rest))


def _told(missing: tuple[Missing, ...]) -> dict[str, object]:
    return {one.shard: {"rows": one.rows.tolist(), "error": to_body(one.error)} for one in missing}


def _heard(share: Share) -> list[Missing]:
    return [
        Missing(shard, np.array(told["rows"], dtype=np.intp), from_body(told["error"]))
        for shard, told in share.failed.items()
    ]
