"""Token all-to-all between chips and expert shards.

One message a shard carries all tokens of this step that have an expert there, each with its own
identity, route and weights; a shard answers with one weighted partial sum a token. Partial sums
merge in float64 in the order of the shards, so the bits do not depend on who answered first.

    chip                                        shard
      dispatch_send ── rows, experts, weights ──▶ dispatch_receive   (all that wait, from all chips
                                                                     and layers)
      combine_receive ◀── partial sums ────────── combine_send

`dispatch_send` returns a handle, so that a second micro-batch can be sent while the first is on its
way.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.host.clock.base import Clock
from workers.host.mailbox import Mailbox
from workers.wire.calls import Handled, Pending
from workers.wire.kinds.experts import Combine, Dispatch
from workers.wire.message import Message
from workers.wire.port import Port

# A shard's backlog: every chip waits for its own dispatch, so far more than chips times
# micro-batches is a fault.
BACKLOG_MAX = 4096


def request_number(request_id: str) -> int:
    """A request's identity in token columns: 64 bits that are the same in every process."""
    return int.from_bytes(hashlib.blake2b(request_id.encode(), digest_size=8).digest(), "little")


@dataclass(frozen=True, slots=True)
class Tokens:
    """T tokens of one layer that want experts.

    request_id    the user's request that the batch is traced under
    requests_T    number of each row's request (`request_number`)
    positions_T   its position in the stream
    hidden_TH     float32 rows
    experts_TK, weights_TK   the gate's choice
    """

    layer: int
    request_id: str
    requests_T: NDArray[np.uint64]
    positions_T: NDArray[np.int64]
    hidden_TH: NDArray[np.float32]
    experts_TK: NDArray[np.int32]
    weights_TK: NDArray[np.float32]


@dataclass(slots=True)
class DispatchHandle:
    """Tokens that are away: which rows went to which shard."""

    num_tokens: int
    hidden: int
    rows_by_shard: list[NDArray[np.intp]]
    pending: list[Pending[Combine]]


@dataclass(slots=True)
class Dispatched:
    """One dispatch that reached a shard."""

    message: Message[Dispatch]
    layer: int
    hidden_TH: NDArray[np.float32]
    experts_TK: NDArray[np.int32]
    weights_TK: NDArray[np.float32]


class DispatchSide:
    """The chip's half. `shard_of_expert[e]` indexes `shards`."""

    def __init__(
        self, port: Port, clock: Clock, shards: Sequence[str], expert_shards: Mapping[int, str]
    ) -> None:
        self._port, self._clock, self._shards = port, clock, tuple(shards)
        index = {name: i for i, name in enumerate(self._shards)}
        self._shard_of_expert = np.array(
            [index[expert_shards[e]] for e in sorted(expert_shards)], dtype=np.int32
        )

    async def dispatch_send(self, tokens: Tokens, timeout_ns: int) -> DispatchHandle:
        """Send each token once to each shard that holds one of its experts."""
        shard_TK = self._shard_of_expert[tokens.experts_TK]
        handle = DispatchHandle(len(tokens.hidden_TH), tokens.hidden_TH.shape[1], [], [])
        deadline_ns = self._clock.now() + timeout_ns
        try:
            await self._dispatch(tokens, shard_TK, handle, deadline_ns)
        except BaseException:
            for pending in handle.pending:  # nobody will ever receive these
                pending.abandon()
            raise
        return handle

    async def _dispatch(
        self,
        tokens: Tokens,
        shard_TK: NDArray[np.int32],
        handle: DispatchHandle,
        deadline_ns: int,
    ) -> None:
        for index, shard in enumerate(self._shards):
            here_TK = shard_TK == index
            rows = np.flatnonzero(here_TK.any(axis=1))
            if not rows.size:
                continue
            pending = await self._port.post(
                shard,
                Dispatch(
                    tokens.layer,
                    tokens.requests_T[rows],
                    tokens.positions_T[rows],
                    np.where(here_TK[rows], tokens.experts_TK[rows], np.int32(-1)),
                    tokens.weights_TK[rows],
                    tokens.hidden_TH[rows],
                ),
                deadline_ns=deadline_ns,
                request_id=tokens.request_id,
            )
            handle.rows_by_shard.append(rows)
            handle.pending.append(pending)

    async def combine_receive(self, handle: DispatchHandle) -> NDArray[np.float64]:
        """All partial sums, merged: [T, H]. Raises DeadlineExceeded or PeerDead if a shard does
        not answer.
        """
        sums_TH = np.zeros((handle.num_tokens, handle.hidden), dtype=np.float64)
        try:
            for rows, pending in zip(handle.rows_by_shard, handle.pending, strict=True):
                reply = await pending.reply()
                sums_TH[rows] += reply.sums
        finally:
            for pending in handle.pending:
                pending.abandon()
        return sums_TH


class CombineSide:
    """The shard's half."""

    def __init__(self, port: Port, clock: Clock) -> None:
        self._port = port
        self._waiting: Mailbox[Dispatched] = Mailbox(clock, BACKLOG_MAX)
        port.on(Dispatch, self._arrived)

    def _arrived(self, message: Message[Dispatch]) -> Handled:
        self._waiting.put(
            Dispatched(
                message,
                message.content.layer,
                message.content.hidden,
                message.content.experts,
                message.content.weights,
            )
        )
        return Handled.LATER

    def backlog(self) -> int:
        return len(self._waiting)

    async def dispatch_receive(self) -> list[Dispatched]:
        """All that waits, from all chips and layers, oldest first; waits for at least one."""
        return await self._waiting.get_due()

    async def combine_send(
        self, batch: Sequence[Dispatched], sums: Sequence[NDArray[np.float64]]
    ) -> None:
        """Answer each dispatch with its partial sums [t, H]."""
        for dispatched, sums_TH in zip(batch, sums, strict=True):
            self._port.reply(dispatched.message, Combine(sums_TH))

    async def refuse(self, batch: Sequence[Dispatched], error: Exception) -> None:
        """No sums will come: whoever waits for them hears why."""
        for dispatched in batch:
            self._port.refuse(dispatched.message, error)
