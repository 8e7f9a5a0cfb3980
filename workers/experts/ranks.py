"""This node's rank among those whose processes share memory, as its event loop has it.

Where links cost nothing but what they really take, tokens need no messages: they are written where
the other rank reads them (`kernels.all_to_all`). A chip's loop and a shard's sleep meanwhile like
any other, and are rung: the one when all its shards have answered, the other when somebody sends.

    dispatch_send ── rows ──▶ arena of a shard ── bell ──▶ `on_work`
    `answers` ◀── bell ── arena of the chip ◀── sums ── answer
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from kernels.all_to_all import (
    Arrived,
    AttachRefused,
    Combined,
    Geometry,
    Handle,
    RankCutOff,
    TimedOut,
    Tokens,
    WatchedAllToAll,
)
from kernels.codec import row_width
from workers.host.clock.base import Clock, Timer, wake
from workers.model.program import Sums
from workers.wire.membership import Member, Membership
from workers.wire.roles import Array

# Between the same two ranks.
OPEN_MAX = 2


@dataclass(frozen=True, slots=True)
class RankedNodes:
    """nodes      those with a rank, in order      secret   the cluster's, at least 16 bytes"""

    nodes: tuple[str, ...]
    geometry: Geometry
    secret: bytes = field(repr=False)


class Ranks:
    """Made inside the event loop of a node that is one of `ranked.nodes`.

    on_failure   told of a rank that wrote what cannot be

    Raises MemoryError or OSError where there is no memory for its arena; see `made`.
    """

    def __init__(
        self,
        ranked: RankedNodes,
        node: str,
        epoch: int,
        clock: Clock,
        on_failure: Callable[[str, BaseException], None],
    ) -> None:
        self._nodes, self._clock, self._on_failure = ranked.nodes, clock, on_failure
        self._rank_of = {name: rank for rank, name in enumerate(ranked.nodes)}
        self._own = self._rank_of[node]
        self._ranks = WatchedAllToAll(ranked.geometry, self._own, ranked.secret, epoch)
        self.address = self._ranks.address
        geometry = ranked.geometry
        self.capacity = geometry.capacity
        # An arena's rows are padded; what messages carry is what comes before.
        self.row_width = row_width(geometry.send, geometry.hidden)
        self._attached: dict[str, int] = {}
        self._awaited: tuple[Handle, asyncio.Future[None]] | None = None
        self._deadline_ns = 0
        self._timer: Timer | None = None
        self._timer_ns = 0  # when it rings
        self._on_work: Callable[[], None] | None = None
        self._is_closed = False
        self.num_open = 0  # dispatches without an answer: 0 when idle
        self.num_sent = 0
        self.num_changes = 0  # of `rank_of`
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._ranks.bell, self._rung)

    @classmethod
    def made(cls, ranked: RankedNodes, *arguments: Any) -> "Ranks | None":
        """None where there is no memory for an arena: then all tokens go as messages."""
        try:
            return cls(ranked, *arguments)
        except (MemoryError, OSError):
            return None

    def follow(self, members: Membership) -> None:
        """Ranks come and go with their nodes."""
        members.on_join.append(self._joined)
        members.on_leave.append(self._left)

    def rank_of(self, node: str) -> int | None:
        """Of a node that can be sent to now."""
        return self._attached.get(node)

    # -- a chip's ----------------------------------------------------------------------------------

    def dispatch(self, tokens: Tokens, owners_E: Array, tag: int) -> Handle | None:
        """None where it cannot be sent at once: an earlier one still waits for an answer."""
        if self.num_open >= OPEN_MAX:
            return None
        try:
            handle = self._ranks.dispatch_send(tokens, owners_E, 0, tag)
        except TimedOut:
            return None
        self.num_open += 1
        self.num_sent += 1
        return handle

    async def answers(self, handle: Handle, deadline_ns: int, sums_TH: Sums) -> Combined:
        """Their sums in `sums_TH`, float64, once all have answered, or will not, or it is too late.
        One waits at a time.
        """
        if self._ranks.await_answers(handle):
            await self._answered(handle, deadline_ns)
        combined = self._ranks.combine_receive_partial(handle, 0, True, sums_TH)
        self.num_open -= 1
        for one in combined.missing:
            if isinstance(one.error, RankCutOff):
                self._cut_off(one.error)
        return combined

    def drop(self, handle: Handle) -> None:
        """Nobody will ask for its answers."""
        self.num_open -= 1
        if not self._is_closed:
            self._ranks.drop(handle)

    async def _answered(self, handle: Handle, deadline_ns: int) -> None:
        assert self._awaited is None, "one chip of this node waits at a time"
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._awaited, self._deadline_ns = (handle, waiter), deadline_ns
        if self._timer is None or deadline_ns < self._timer_ns:
            self._set_timer()
        try:
            await waiter
        finally:
            self._awaited = None

    def _expire(self) -> None:
        """One timer does for many waits, one after the other: nearly always each has ended long
        before its own would ring.
        """
        self._timer = None
        if self._awaited is None:
            return
        if self._deadline_ns <= self._clock.now():
            wake(self._awaited[1])
        else:
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_ns = self._deadline_ns
        self._timer = self._clock.call_at(self._timer_ns, self._expire)

    # -- a shard's ---------------------------------------------------------------------------------

    def on_work(self, told: Callable[[], None]) -> None:
        """Told when something may be there to `take`, after `await_work`."""
        self._on_work = told

    def await_work(self) -> bool:
        """Whether nothing is there; then whoever sends next rings."""
        return self._ranks.await_work()

    def take(self) -> Sequence[Arrived]:
        """All that is there."""
        while True:
            try:
                return self._ranks.dispatch_receive(0)
            except TimedOut:
                return ()
            except RankCutOff as error:  # told once of each
                self._cut_off(error)

    def answer(self, arrived: Arrived, sums_NH: Array | None) -> None:
        """None refuses it. Nobody may hear it any more."""
        if not self._is_closed:
            self._ranks.combine_send(arrived, sums_NH)

    # ----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Safe to call twice; what waits is cancelled with its node."""
        if self._is_closed:
            return
        self._is_closed = True
        self._loop.remove_reader(self._ranks.bell)
        if self._timer is not None:
            self._timer.cancel()
        self._ranks.close()

    def _rung(self) -> None:
        self._ranks.heard()
        self._look()

    def _look(self) -> None:
        if self._on_work is not None:
            self._on_work()
        if self._awaited is not None and not self._ranks.await_answers(self._awaited[0]):
            wake(self._awaited[1])

    def _joined(self, member: Member) -> None:
        """Whoever cannot be reached is sent messages."""
        if not member.ranks or self._is_closed or self._rank_of.get(member.node) == self._own:
            return
        try:
            self._attached[member.node] = self._ranks.attach(member.ranks)
        except (AttachRefused, MemoryError):
            return
        self.num_changes += 1

    def _cut_off(self, error: RankCutOff) -> None:
        """From now on it is sent messages."""
        node = self._nodes[error.rank]
        if self._attached.pop(node, None) is not None:
            self.num_changes += 1
            self._on_failure(f"rank of {node}", error)

    def _left(self, member: Member, reason: str) -> None:
        rank = self._attached.pop(member.node, None)
        if rank is None or self._is_closed:
            return
        self.num_changes += 1
        self._ranks.mark_dead(rank)
        self._look()
