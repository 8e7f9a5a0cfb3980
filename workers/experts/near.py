"""The exchange between processes that share memory, where links cost nothing (`Ranks`).

It takes what it can: tokens whose shards all have ranks and live, no more of them than an arena
holds, each expert with one copy, while no fault stands that messages would have to meet, and no
straggler is hedged. All else goes as messages, and so does a dispatch once more that a shard with a
spare does not answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kernels.all_to_all import Arrived, Handle, RankCutOff, RankDead, RankLate, RankLost
from kernels.all_to_all import Tokens as RankTokens
from workers.errors import DeadlineExceeded, PeerDead, PerfuseError
from workers.experts.answers import Answers
from workers.experts.combine import CombineSide, Dispatched
from workers.experts.exchange import NONE_LOST, Away, DispatchSide
from workers.experts.ranks import Ranks
from workers.experts.routing import NOBODY, RoutingTable
from workers.experts.stand_ins import StandIns
from workers.experts.tokens import Combined, Missing, Tokens
from workers.host.clock.base import Clock
from workers.host.mailbox import Mailbox
from workers.model.numerics import Numerics
from workers.model.program import Sums
from workers.wire.kinds.experts import Dispatch
from workers.wire.port import Port


@dataclass(slots=True)
class NearHandle:
    """Tokens that are away, and by which table. `shards`: by rank."""

    ranks: Ranks
    handle: Handle
    tokens: Tokens
    table: RoutingTable
    shards: Mapping[int, str]
    deadline_ns: int
    sums_TH: Sums
    is_open: bool = True

    def abandon(self) -> None:
        """Nobody will receive these."""
        if self.is_open:
            self.is_open = False
            self.ranks.drop(self.handle)


@dataclass(frozen=True, slots=True)
class _Owners:
    """A table as ranks see it: each expert's rank, nobody's at the end."""

    owners_E: NDArray[np.int32]
    shards: Mapping[int, str]


class NearDispatch(DispatchSide):
    """The chip's half. Sums merge in the order of the table's shards, as those of messages do."""

    def __init__(
        self,
        port: Port,
        clock: Clock,
        numerics: Numerics,
        stand_ins: StandIns,
        answers: Answers,
        ranks: Ranks,
    ) -> None:
        super().__init__(port, clock, numerics, stand_ins, answers)
        self._ranks, self._endpoint = ranks, port.endpoint
        self._known: tuple[RoutingTable, int, _Owners | None] | None = None

    async def dispatch_send(
        self,
        tokens: Tokens,
        table: RoutingTable,
        timeout_ns: int,
        lost: Mapping[str, PerfuseError] = NONE_LOST,
    ) -> Away:
        near = None if lost else self._sent(tokens, table, timeout_ns)
        if near is not None:
            return near
        return await super().dispatch_send(tokens, table, timeout_ns, lost)

    async def combine_receive(self, handle: Away) -> Combined:
        if not isinstance(handle, NearHandle):
            return await super().combine_receive(handle)
        until_ns = self._until_ns(handle)
        try:
            combined = await self._ranks.answers(handle.handle, until_ns, handle.sums_TH)
        except BaseException:
            handle.abandon()
            raise
        handle.is_open = False
        missing = tuple(
            Missing(shard, one.tokens.astype(np.intp), self._error(shard, one.error))
            for one in combined.missing
            for shard in (handle.shards[one.rank],)
        )
        left_ns = handle.deadline_ns - self._clock.now()
        if left_ns > 0 and any(self._may_be_answered(one) for one in missing):
            again = await super().dispatch_send(handle.tokens, handle.table, left_ns)
            return await super().combine_receive(again)
        return Combined(combined.sums_TH, missing)

    def _until_ns(self, handle: NearHandle) -> int:
        """A shard that may be silent is asked by message then, and so is its spare."""
        if not self._stand_ins.has_any:
            return handle.deadline_ns
        now_ns = self._clock.now()
        within_ns = self._answers.within_ns(handle.deadline_ns - now_ns)
        return handle.deadline_ns if within_ns is None else now_ns + within_ns // 2

    def _may_be_answered(self, lost: Missing) -> bool:
        """By a spare, of a shard that is gone or silent, or by its next incarnation; what it
        refuses, everybody does.
        """
        stand_ins, is_gone = self._stand_ins, isinstance(lost.error, PeerDead)
        if not is_gone and not isinstance(lost.error, DeadlineExceeded):
            return False
        has_returned = is_gone and stand_ins.lives(lost.shard)
        return has_returned or stand_ins.other(lost.shard, lost.shard) is not None

    def _sent(self, tokens: Tokens, table: RoutingTable, timeout_ns: int) -> NearHandle | None:
        owners = self._owners(table)
        if (
            owners is None
            or self._endpoint.has_faults
            or self._stand_ins.silent
            or self._answers.hedges
            or len(tokens.positions_T) > self._ranks.capacity
        ):
            return None
        columns = RankTokens(
            tokens.requests_T,
            tokens.positions_T,
            tokens.experts_TK,
            tokens.weights_TK,
            tokens.hidden_TH,  # rounded as they are written
        )
        sent = self._ranks.dispatch(columns, owners.owners_E, tokens.layer)
        if sent is None:
            return None
        deadline_ns, sums_TH = self._clock.now() + timeout_ns, self._numerics.zero(tokens.hidden_TH)
        return NearHandle(self._ranks, sent, tokens, table, owners.shards, deadline_ns, sums_TH)

    def _owners(self, table: RoutingTable) -> _Owners | None:
        """None where not all of its shards can be sent to, or an expert has several copies."""
        known = self._known
        if known is None or known[0] is not table or known[1] != self._ranks.num_changes:
            known = self._known = table, self._ranks.num_changes, self._owners_of(table)
        return known[2]

    def _owners_of(self, table: RoutingTable) -> _Owners | None:
        if table.copies is not None:
            return None  # ranks know one owner of each expert
        ranks: list[int] = []
        for shard in table.shards:
            node = self._endpoint.members.node_of(shard)
            rank = None if node is None else self._ranks.rank_of(node)
            if rank is None:
                return None
            ranks.append(rank)
        if sorted(set(ranks)) != ranks:  # sums would merge in another order
            return None
        owners_E = np.array([*ranks, NOBODY], np.int32)[table.owners_E]
        return _Owners(owners_E, dict(zip(ranks, table.shards, strict=True)))

    def _error(self, shard: str, lost: RankLost) -> PerfuseError:
        """As messages would tell it."""
        if isinstance(lost, RankDead | RankCutOff):
            node = self._endpoint.members.node_of(shard)
            return PeerDead(f"{shard} on {node} is gone: {lost}", node=node)
        if isinstance(lost, RankLate):
            return DeadlineExceeded(f"{shard} did not answer a dispatch in time")
        return PerfuseError(f"{shard} refused a dispatch: its node tells why")


@dataclass(frozen=True, slots=True)
class NearDispatched:
    """A dispatch that reached a shard, where it lies."""

    content: Dispatch
    arrived: Arrived


class NearCombine(CombineSide):
    """The shard's half: what came by either way waits in one queue."""

    def __init__(
        self,
        port: Port,
        waiting: Mailbox[Dispatched],
        numerics: Numerics,
        clock: Clock,
        ranks: Ranks,
    ) -> None:
        super().__init__(port, waiting, numerics, clock)
        self._ranks = ranks
        ranks.on_work(self._fill)

    async def dispatch_receive(self) -> list[Dispatched]:
        self._fill()
        return await super().dispatch_receive()

    def _fill(self) -> None:
        """Take what is there, or be rung. Whoever rings may have sent what was taken before: who is
        rung for nothing asks again.
        """
        if self.backlog():
            self._take()
        while not self.backlog() and not self._ranks.await_work():
            self._take()

    def _answer(self, dispatched: Dispatched, sums_TH: Sums) -> None:
        if isinstance(dispatched, NearDispatched):
            self._ranks.answer(dispatched.arrived, sums_TH)
        else:
            super()._answer(dispatched, sums_TH)

    def _refuse(self, dispatched: Dispatched, error: Exception) -> None:
        if isinstance(dispatched, NearDispatched):
            self._ranks.answer(dispatched.arrived, None)
        else:
            super()._refuse(dispatched, error)

    def _take(self) -> None:
        for arrived in self._ranks.take():
            # Once its sender is dead, the sender's next incarnation may write to all of it. Nobody
            # hears of numbers that are spoilt so, but a kernel would lose count of experts.
            experts = arrived.experts.copy()
            content = Dispatch(
                arrived.tag, arrived.requests, arrived.positions, experts, arrived.weights,
                arrived.rows[:, : self._ranks.row_width],
            )  # fmt: skip
            self._waiting.put(NearDispatched(content, arrived))
