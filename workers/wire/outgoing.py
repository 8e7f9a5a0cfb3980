"""The calls that a node makes: credits, what is pending, patience, repetition, deadline.

caller                                        receiver
  post ── call 7 ───────────────────────────▶   handler runs
       ── call 7 (no answer in time) ───────▶   known id: nothing runs; answered again if there
                                                is an answer
       ◀────────────────────────── answer 7 ──
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from workers.errors import DeadlineExceeded, PeerDead, PerfuseError, from_body
from workers.host.clock.base import Clock
from workers.wire.calls import Pending, Waiter
from workers.wire.kind import A_co, Failed
from workers.wire.message import Message
from workers.wire.peer import Peer
from workers.wire.round_trips import patience_ns_least

Send = Callable[[Message[Any], Peer], Awaitable[None] | None]
# Raises PeerDead.
Reach = Callable[[str], Peer]


class Outgoing:
    """Calls of one node that have no answer yet."""

    def __init__(self, clock: Clock, reach: Reach, send: Send) -> None:
        self._clock, self._reach, self._send = clock, reach, send
        self._num_pending = 0
        self._last_id = 0

    def in_flight(self) -> int:
        """Calls without an answer: 0 when idle."""
        return self._num_pending

    def next_id(self) -> int:
        """An id for a message: they rise, and none comes twice within an incarnation."""
        self._last_id += 1
        return self._last_id

    def post_now(self, message: Message[Any]) -> tuple[Pending[Any], Awaitable[None] | None] | None:
        """Send a call if the peer has a credit left; None if it has not, and one must be waited
        for. The second of the pair is to be awaited, where the wire is full.
        """
        peer = self._reach(message.destination)
        if message.content.takes_credit and not peer.credits.take():
            return None
        return self._post(message, peer)

    async def post(self, message: Message[Any]) -> Pending[Any]:
        """Send a call, waiting for a credit of the peer first, but not beyond its deadline;
        `Pending.reply` waits for the answer.
        """
        peer = self._reach(message.destination)
        if message.content.takes_credit and not peer.credits.take():
            await self._credit(message, peer)
        pending, turn = self._post(message, peer)
        if turn is not None:
            try:
                async with self._clock.deadline(message.deadline_ns):
                    await turn
            except BaseException:
                self.forget(pending)
                raise
        return pending

    async def _credit(self, message: Message[Any], peer: Peer) -> None:
        try:
            async with self._clock.deadline(message.deadline_ns):
                await peer.credits.wait()
        except DeadlineExceeded as late:
            text = f"{message.kind} found no free credit of {peer.node} in time"
            raise DeadlineExceeded(text) from late

    def _post(
        self, message: Message[Any], peer: Peer
    ) -> tuple[Pending[Any], Awaitable[None] | None]:
        """With a credit of the peer in hand, if it takes one."""
        assert message.deadline_ns, "a call has a deadline"
        self._last_id = message.message_id = self._last_id + 1
        pending: Pending[Any] = Pending(self, peer, message, self._clock.now())
        peer.pending[message.message_id] = pending
        self._num_pending += 1
        message.concluded = next(iter(peer.pending))
        try:
            return pending, self._send(message, peer)
        except BaseException:
            self.forget(pending)
            raise

    def forget(self, pending: Pending[Any]) -> None:
        if pending.peer.pending.pop(pending.message.message_id, None) is not None:
            self._conclude(pending)

    def _conclude(self, pending: Pending[Any]) -> None:
        self._num_pending -= 1
        if pending.message.content.takes_credit:
            pending.peer.credits.give()

    def take(self, pending: Pending[A_co]) -> A_co:
        """The content of the answer, once. Raises what the handler raised, or why there is none."""
        answer, message, peer = pending.answer, pending.message, pending.peer
        if peer.pending.pop(message.message_id, None) is not None:
            self._conclude(pending)
        assert answer is not None, f"{message.kind} has not been settled"
        if isinstance(answer, PerfuseError):
            raise answer
        due_ns = answer.due_ns
        self._clock.advance(due_ns)
        if not pending.is_repeated:
            peer.round_trips.heard(message.content.kind, due_ns - pending.posted_ns)
        content: A_co = answer.content
        if isinstance(content, Failed):
            raise from_body(dict(content.error))
        return content

    async def wait(self, pendings: Sequence[Pending[Any]]) -> None:
        """Until each is settled: answered, refused, or out of time. One future and one timer for
        all: this is the hot path.
        """
        waiting = [pending for pending in pendings if pending.answer is None]
        if not waiting:
            return
        waiter, begun_ns = Waiter(len(waiting)), self._clock.now()
        for pending in waiting:
            pending.waiter = waiter
        least_ns = min(pending.message.deadline_ns for pending in waiting) - begun_ns
        until_ns = begun_ns + min(patience_ns_least(least_ns), max(least_ns, 0))
        while waiter.num_open:
            await self._until(waiter, until_ns)
            if waiter.num_open:
                waiting = [pending for pending in waiting if pending.answer is None]
                until_ns = await self._repeat(waiting, begun_ns, until_ns)

    async def _until(self, waiter: Waiter, until_ns: int) -> None:
        waiter.future = asyncio.get_running_loop().create_future()
        timer = self._clock.call_at(self._clock.deadline_floor(until_ns), waiter.wake)
        try:
            await waiter.future
        finally:
            timer.cancel()

    async def _repeat(self, waiting: Sequence[Pending[Any]], begun_ns: int, now_ns: int) -> int:
        """Send again what is overdue, give up what is out of time; returns when to look next."""
        next_ns = []
        for pending in waiting:
            message, deadline_ns = pending.message, pending.message.deadline_ns
            if now_ns >= deadline_ns:
                text = f"{message.kind} to {message.destination} was not answered in time"
                pending.settle(DeadlineExceeded(text))
                continue
            if not pending.patience_ns:
                left_ns = deadline_ns - begun_ns
                patience_ns = pending.peer.round_trips.patience_ns(message.kind, left_ns)
                pending.patience_ns, pending.repeat_ns = patience_ns, begun_ns + patience_ns
            if now_ns >= pending.repeat_ns:
                await self._again(pending)
                pending.patience_ns *= 2  # whoever is slow is not helped by more of the same
                pending.repeat_ns = now_ns + pending.patience_ns
            next_ns.append(min(pending.repeat_ns, deadline_ns))
        return min(next_ns, default=now_ns)

    async def _again(self, pending: Pending[Any]) -> None:
        pending.is_repeated = True
        message = pending.message.again()
        message.concluded = next(iter(pending.peer.pending))
        try:
            if (turn := self._send(message, pending.peer)) is not None:
                await turn
        except PeerDead as gone:
            pending.settle(gone)

    def answered(self, peer: Peer, message: Message[Any]) -> None:
        """An answer came; one that nobody waits for any more is let go."""
        pending: Pending[Any] | None = peer.pending.get(message.reply_to)
        if pending is not None:
            pending.settle(message)

    def peer_left(self, peer: Peer, reason: str) -> None:
        """Fail all that waits for that incarnation."""
        gone = PeerDead(f"{peer.node} is gone: {reason}", node=peer.node)
        for pending in list(peer.pending.values()):
            pending.settle(gone)
        peer.credits.fail(gone)
