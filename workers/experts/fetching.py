"""Experts computed by the chip: the weights of those that a layer's tokens chose are shipped from
their shards, for every step anew.

    chip                                    shard
      dispatch_send ── weights_read ────────▶ so many pieces of its experts at once
      combine_receive ◀── weights ─────────── and the next, until all are there
        compute each shard's sums, merge them in the order of the shards

Each shard's partial sums are computed by themselves, from the same rows by the same kernels, and
merged in the same order: the bits are those that its shards would have answered.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from workers.errors import PerfuseError
from workers.experts.answers import Answers
from workers.experts.exchange import NONE_LOST, Away, DispatchSide
from workers.experts.patience import ENDLESS
from workers.experts.routing import RoutingTable
from workers.experts.spread import merge
from workers.experts.stand_ins import StandIns
from workers.experts.tokens import Combined, Missing, Tokens
from workers.experts.weight_shard import PIECE_VALUES
from workers.hardware.energy.phase import Cause
from workers.model.program import Sums
from workers.model.shipped_experts import ExpertSizes
from workers.node import Node
from workers.wire.calls import Pending
from workers.wire.kinds.experts import Dispatch, Weights, WeightsRead
from workers.wire.roles import Array

# Pieces of one shard on their way at once. ASSUMED: 8 MiB hide 4 us there and back at 2 TB/s.
PIECES_AT_ONCE = 8


@dataclass(slots=True)
class _Share:
    """What one shard would have computed.

    wanted    pieces that were not asked for yet: expert, begin, end
    pending   those that were, the oldest first
    """

    shard: str
    rows: NDArray[np.intp]
    dispatch: Dispatch
    weights: dict[int, Array]
    wanted: deque[tuple[int, int, int]]
    pending: deque[tuple[int, int, Pending[Weights]]] = field(default_factory=deque)
    error: PerfuseError | None = None

    def abandon(self) -> None:
        self.wanted.clear()
        for _, _, call in self.pending:
            call.abandon()
        self.pending.clear()

    def fail(self, error: PerfuseError) -> None:
        self.error = error
        self.abandon()


@dataclass(slots=True)
class _Fetched:
    """A batch whose weights are on their way."""

    sums_TH: Sums
    cause: Cause
    deadline_ns: int
    request_id: str
    shares: list[_Share] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)

    def abandon(self) -> None:
        """Nobody will compute these."""
        for share in self.shares:
            share.abandon()


class FetchingSide(DispatchSide):
    """The chip's half, in place of an exchange of tokens."""

    def __init__(self, node: Node, worker: str, sizes: ExpertSizes) -> None:
        port, stand_ins = node.port(worker), StandIns(node.members)
        answers = Answers(port, node.clock, node.spawn, stand_ins, ENDLESS)
        super().__init__(port, node.clock, node.numerics, stand_ins, answers)
        self._hardware, self._sizes = node.hardware, sizes

    async def dispatch_send(
        self,
        tokens: Tokens,
        table: RoutingTable,
        timeout_ns: int,
        lost: Mapping[str, PerfuseError] = NONE_LOST,
    ) -> Away:
        """Ask each shard that holds a chosen expert for its weights; `lost` as ever."""
        deadline_ns = self._clock.now() + timeout_ns
        zero = self._numerics.zero(tokens.hidden_TH)
        fetched = _Fetched(zero, tokens.cause, deadline_ns, tokens.request_id)
        spread = self._spread(tokens, table)
        try:
            for index, run in spread.runs():
                shard, rows = table.shards[index], spread.rows_N[run]
                if shard in lost:
                    fetched.missing.append(Missing(shard, rows, lost[shard]))
                    continue
                share = self._share(shard, rows, spread.dispatch(tokens.layer, run, tokens.cause))
                fetched.shares.append(share)
                await self._ask(fetched, share)
        except BaseException:
            fetched.abandon()
            raise
        return fetched

    def _share(self, shard: str, rows: NDArray[np.intp], dispatch: Dispatch) -> _Share:
        size = self._sizes.num_values
        ids = [expert for expert in np.unique(dispatch.experts).tolist() if expert >= 0]
        pieces = deque(
            (expert, begin, min(begin + PIECE_VALUES, size))
            for expert in ids
            for begin in range(0, size, PIECE_VALUES)
        )
        weights = {expert: self._sizes.buffer() for expert in ids}
        return _Share(shard, rows, dispatch, weights, pieces)

    async def _ask(self, fetched: _Fetched, share: _Share) -> None:
        """As many pieces as may be on their way."""
        while share.wanted and len(share.pending) < PIECES_AT_ONCE:
            expert, begin, end = share.wanted.popleft()
            content = WeightsRead(share.dispatch.layer, expert, begin, end, fetched.cause)
            try:
                call = await self._port.post(
                    share.shard,
                    content,
                    deadline_ns=fetched.deadline_ns,
                    request_id=fetched.request_id,
                )
            except PerfuseError as error:
                share.fail(error)
            else:
                share.pending.append((expert, begin, call))

    async def combine_receive(self, handle: Away) -> Combined:
        """All sums, computed here and merged, and the rows that lack one, as of `DispatchSide`."""
        assert isinstance(handle, _Fetched), "another side's"
        try:
            while open_shares := [share for share in handle.shares if share.pending]:
                for share in open_shares:
                    await self._take(handle, share)
            whole = [share for share in handle.shares if share.error is None]
            partials = await self._computed(handle.cause, whole) if whole else []
        except BaseException:
            handle.abandon()
            raise
        merge(self._numerics, handle.sums_TH, [share.rows for share in whole], partials)
        failed = (
            Missing(share.shard, share.rows, share.error)
            for share in handle.shares
            if share.error is not None
        )
        return Combined(handle.sums_TH, (*handle.missing, *failed))

    async def _take(self, fetched: _Fetched, share: _Share) -> None:
        expert, begin, call = share.pending.popleft()
        try:
            values = (await call.reply()).values
        except PerfuseError as error:
            share.fail(error)
            return
        self._sizes.put(share.weights[expert], begin, values)
        await self._ask(fetched, share)

    async def _computed(self, cause: Cause, shares: list[_Share]) -> list[Sums]:
        """One launch for all."""
        num_pairs = sum(int(np.count_nonzero(one.dispatch.experts >= 0)) for one in shares)
        work = self._sizes.work(num_pairs, sum(len(one.weights) for one in shares))
        return await self._hardware.run_for(cause, work, self._forward, shares)

    def _forward(self, shares: list[_Share]) -> list[Sums]:
        """A shard at a time, as the shards do it."""
        return [
            self._numerics.answered(
                self._sizes.forward(
                    one.weights,
                    self._numerics.received(one.dispatch.hidden),
                    one.dispatch.experts,
                    one.dispatch.weights,
                )
            )
            for one in shares
        ]
