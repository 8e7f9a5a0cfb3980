"""A chip's half of the exchange where a switch copies its tokens, or adds what comes of them.

    copies   each token goes up the chip's link once, however many shards hold its experts
    adds     one sum a token comes down it, however many shards had a share

Calls and answers are those of `exchange`, and so is what becomes of a shard that says nothing. What
the switch carries is sent once: what does not come is asked for from chip to shard. So a switch
that is gone costs time, and no token.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.errors import PeerDead, PerfuseError
from workers.experts.answers import Answers
from workers.experts.exchange import NONE_LOST, DispatchHandle, DispatchSide
from workers.experts.handle import Lost
from workers.experts.routing import NOBODY, RoutingTable
from workers.experts.spread import owners_of
from workers.experts.stand_ins import StandIns
from workers.experts.tokens import Missing, Tokens
from workers.host.clock.base import Clock
from workers.model.numerics import Numerics
from workers.wire.kinds.experts import Combine, Gather
from workers.wire.kinds.switched import Multicast, Reduced
from workers.wire.message import Message
from workers.wire.port import Port
from workers.wire.relays import Relays

# A switch waits for the last share no longer than this part of a call's time: whoever is there has
# the rest of it.
WAIT_SHARE = 2


@dataclass(frozen=True, slots=True)
class BySwitch:
    """What a switch does for a chip."""

    switch: str
    copies: bool
    adds: bool


class SwitchedDispatch(DispatchSide):
    """See above."""

    def __init__(
        self,
        port: Port,
        clock: Clock,
        numerics: Numerics,
        stand_ins: StandIns,
        answers: Answers,
        by: BySwitch,
    ) -> None:
        super().__init__(port, clock, numerics, stand_ins, answers)
        self._by, self._number = by, 0
        self._relays = Relays(port.endpoint, numerics)
        port.on(Reduced, self._reduced)

    async def dispatch_send(
        self,
        tokens: Tokens,
        table: RoutingTable,
        timeout_ns: int,
        lost: Mapping[str, PerfuseError] = NONE_LOST,
    ) -> DispatchHandle:
        """As where no switch works; shards of this node are asked directly, and so are one that is
        asked alone, and spares.
        """
        spread, now_ns = self._spread(tokens, table), self._clock.now()
        handle, copied = self._handle(tokens, table, now_ns + timeout_ns), list[Message[Any]]()
        runs = [(table.shards[index], run) for index, run in spread.runs()]
        far = self._far([shard for shard, _ in runs if shard not in lost])
        gather = self._gather(far, now_ns + timeout_ns // WAIT_SHARE)
        try:
            for shard, run in runs:
                rows, is_far = spread.rows_N[run], shard in far
                if shard in lost:
                    handle.missing.append(Missing(shard, rows, lost[shard]))
                    continue
                told = spread.dispatch(tokens.layer, run, tokens.cause, gather if is_far else None)
                asked = shard if is_far else self._stand_ins.of(shard)
                envelope = self._port.worker, asked, tokens.request_id, now_ns + timeout_ns
                call = Message(told, *envelope)
                try:
                    pending = self._relays.open_now(call) if is_far and self._by.copies else None
                    if pending is not None:
                        copied.append(call)
                    else:
                        pending = await self._port.endpoint.outgoing.post(call)
                except PerfuseError as error:
                    handle.not_sent(
                        Lost(shard, rows, told, call.deadline_ns, call.request_id, error)
                    )
                else:
                    handle.await_sums_of(shard, rows, pending)
            if copied:
                await self._copy(tokens, table, copied, gather)
        except BaseException:
            handle.abandon()
            raise
        return handle

    def _far(self, shards: Sequence[str]) -> tuple[str, ...]:
        """Those that the switch is used for: none where it is of no help, or gone."""
        far = tuple(shard for shard in shards if self._is_far(shard))
        return far if len(far) > 1 and self._stand_ins.lives(self._by.switch) else ()

    def _gather(self, far: tuple[str, ...], until_ns: int) -> Gather | None:
        if not far or not self._by.adds:
            return None
        self._number += 1
        return Gather(self._by.switch, self._number, far, until_ns)

    def _is_far(self, shard: str) -> bool:
        endpoint = self._port.endpoint
        is_here = endpoint.members.node_of(shard) == endpoint.node
        return not is_here and self._stand_ins.lives(shard)

    async def _copy(
        self, tokens: Tokens, table: RoutingTable, calls: Sequence[Message[Any]],
        gather: Gather | None,
    ) -> None:  # fmt: skip
        """Each token that any of these are about, once."""
        owners_TK = self._owners(table, tokens, [call.destination for call in calls])
        rows = np.flatnonzero((owners_TK != NOBODY).any(axis=1))
        content = Multicast(
            tokens.layer,
            tokens.requests_T[rows],
            tokens.positions_T[rows],
            tokens.experts_TK[rows],
            tokens.weights_TK[rows],
            owners_TK[rows],
            self._numerics.sent(tokens.hidden_TH)[rows],
            tuple(call.destination for call in calls),
            tuple(call.message_id for call in calls),
            tuple(call.concluded for call in calls),
            calls[0].deadline_ns,
            gather,
            tokens.cause,
        )
        try:
            await self._port.send(self._by.switch, content, request_id=tokens.request_id)
        except PeerDead:
            return  # it left just now: what did not go is asked for

    def _owners(
        self, table: RoutingTable, tokens: Tokens, shards: Sequence[str]
    ) -> NDArray[np.int16]:
        """Index into these shards of the one that each token asks for each expert; NOBODY."""
        place_S = np.full(len(table.shards) + 1, NOBODY, dtype=np.int16)
        for index, shard in enumerate(shards):
            place_S[table.shards.index(shard)] = index
        owners_TK = owners_of(table, tokens.requests_T, tokens.positions_T, tokens.experts_TK)
        return place_S[owners_TK]

    def _reduced(self, message: Message[Reduced]) -> None:
        """What the switch has of several calls."""
        told = message.content
        for index, (shard, call) in enumerate(zip(told.shards, told.calls, strict=True)):
            answer = Message(
                Combine(told.terms[str(index)], told.computed_for), shard, self._port.worker,
                message.request_id, reply_to=call, due_ns=message.due_ns,
            )  # fmt: skip
            self._relays.answered(answer, told.epoch)
