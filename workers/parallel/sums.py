"""What the tensor-parallel ranks of a stage exchange in a layer.

Shares of sums go by an all-reduce (`workers.collectives`), whose algorithm is the scenario's to
say. Tokens for experts: each row is dispatched once, by the rank whose part of the rows it is in,
and what came of it goes to the others. So dispatch leaves by as many links as there are ranks, and
no shard is asked twice.

    rows 0-3   rank 0 ── dispatch, combine ──▶ sums of 0-1 ──▶ rank 1
               rank 1 ── dispatch, combine ──▶ sums of 2-3 ──▶ rank 0

What a shard did not answer travels along: a sequence fails on all ranks or on none, and they go on
to ask for the same exchanges in the same order.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from configs.parts import Ranks
from configs.schema.collectives import AllReduce as Algorithms
from workers.chip.batch import Batch
from workers.collectives.choice import chosen
from workers.collectives.collective import Collective
from workers.collectives.member import AllReduce, Collectives
from workers.errors import PerfuseError, from_body, to_body
from workers.experts.exchange import NONE_LOST, Away, DispatchSide
from workers.experts.routing import NOBODY, RoutingTable
from workers.experts.tokens import Combined, Missing, Tokens
from workers.hardware.energy.phase import Cause
from workers.model.program import Rows
from workers.parallel.team import Team
from workers.wire.kinds.ranks import Share

# More sums than a step has.
SUMS_BITS = 20


def group_of(ranks: Ranks, stage: int) -> tuple[str, tuple[str, ...]]:
    """Name and members of the group of ranks that sum in a stage of a chip."""
    chip = ranks.names[ranks.leader]
    name = chip if ranks.num_stages == 1 else f"{chip} stage {stage}"
    return name, tuple(ranks.names[rank] for rank in ranks.peers(stage * ranks.tensor))


class StageSums:
    """A `Reducer` over the ranks of a stage.

    Each step's sums are counted from a number of the step's own: so ranks that have lost each other
    in one agree again in the next.
    """

    def __init__(
        self, team: Team, collectives: Collectives, asked: Algorithms, switch: str
    ) -> None:
        """switch   that adds, where that is asked for"""
        name, ranks = group_of(team.ranks, team.stage)
        members = (*ranks, switch) if asked == "in_network" else ranks
        self._group = collectives.join(name, members, team.timeout_ns, len(ranks))
        self._sums = AllReduce(self._group, chosen(asked, self._group))
        team.on_step_failed.append(self.give_up)

    def begin(self, step: int) -> None:
        self._group.restart(step << SUMS_BITS)

    def give_up(self) -> None:
        """Whoever waits for a sum of this step waits no longer."""
        self._group.restart(self._group.next_number)

    async def send(self, batch: Batch, partial: Rows) -> Collective:
        return await self._sums.send(batch, partial)

    def num_open(self) -> int:
        return self._group.num_open()


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

    def living(self, table: RoutingTable) -> RoutingTable:
        return self._inner.living(table)

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
                # It may have waited in vain for a shard that this rank did not ask.
                share = await team.hear(Share, handle.number, rank, timeouts=2)
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
