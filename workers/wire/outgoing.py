"""The calls that a node makes: credits, what is pending, patience, repetition, deadline.

caller                                        receiver
  post ── call 7 ───────────────────────────▶   handler runs
       ── call 7 (no answer in time) ───────▶   known id: nothing runs; answered again if there
                                                is an answer
       ◀────────────────────────── answer 7 ──
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from workers.errors import DeadlineExceeded, PeerDead, PerfuseError, from_body
from workers.host.clock.base import Clock
from workers.host.credits import Credits
from workers.wire.calls import CREDITS_PER_PEER, Pending, RoundTrips
from workers.wire.kind import Failed
from workers.wire.membership import Incarnation, Member, Membership
from workers.wire.message import Message

Send = Callable[[Message[Any]], Awaitable[None] | None]


class Outgoing:
    """Calls of one node that have no answer yet."""

    def __init__(self, clock: Clock, members: Membership, send: Send) -> None:
        self._clock, self._members, self._send = clock, members, send
        self._pending: dict[int, Pending[Any]] = {}
        self._credits: dict[Incarnation, Credits] = {}
        self._round_trips = RoundTrips()
        self._last_id = 0

    def in_flight(self) -> int:
        """Calls without an answer: 0 when idle."""
        return len(self._pending)

    def credits_taken(self) -> dict[str, int]:
        """Peer node -> credits of it that are taken: all 0 when idle."""
        return {node: credits.taken for (node, _), credits in self._credits.items()}

    def next_id(self) -> int:
        """An id for a message: they rise, and none comes twice within an incarnation."""
        self._last_id += 1
        return self._last_id

    async def post(self, message: Message[Any]) -> Pending[Any]:
        """Send a call, waiting for a credit of the peer first; `Pending.reply` waits for the
        answer.
        """
        assert message.deadline_ns, "a call has a deadline"
        peer = self._members.reach(message.destination).incarnation
        credits = self._credits.get(peer)
        if credits is None:
            credits = self._credits[peer] = Credits(self._clock, CREDITS_PER_PEER)
        if not credits.take():
            await credits.wait()
        message.message_id = self.next_id()
        pending: Pending[Any] = Pending(self, peer, message, self._clock.now(), credits)
        self._pending[message.message_id] = pending
        try:
            if (turn := self._send(message)) is not None:
                await turn
        except BaseException:
            self.forget(pending)
            raise
        return pending

    def forget(self, pending: Pending[Any]) -> None:
        if self._pending.pop(pending.message.message_id, None) is not None:
            pending.credits.give()

    async def await_reply(self, pending: Pending[Any]) -> Message[Any]:
        """Raises what the handler raised, DeadlineExceeded, or PeerDead."""
        message = pending.message
        try:
            if pending.answer is None:
                await self._repeat_until_answered(pending)
        finally:
            self.forget(pending)
        answer = pending.answer
        if answer is None:
            text = f"{message.kind} to {message.destination} was not answered in time"
            raise DeadlineExceeded(text)
        if isinstance(answer, PerfuseError):
            raise answer
        self._clock.advance(answer.due_ns)
        if not pending.is_repeated:
            took_ns = answer.due_ns - pending.posted_ns
            self._round_trips.heard(pending.peer, message.kind, took_ns)
        if isinstance(answer.content, Failed):
            raise from_body(dict(answer.content.error))
        return answer

    async def _repeat_until_answered(self, pending: Pending[Any]) -> None:
        message, until_ns = pending.message, self._clock.now()
        patience_ns = self._round_trips.patience_ns(
            pending.peer, message.kind, message.deadline_ns - until_ns
        )
        while True:
            until_ns = min(until_ns + patience_ns, message.deadline_ns)
            await self._await_answer(pending, until_ns)
            if pending.settled() or until_ns >= message.deadline_ns:
                return
            if (turn := self._send(message.again())) is not None:
                await turn
            if pending.settled():
                return
            patience_ns *= 2  # whoever is slow is not helped by more of the same
            pending.is_repeated = True

    async def _await_answer(self, pending: Pending[Any], until_ns: int) -> None:
        """Until there is an answer or the time is up. One future and one timer: this is the hot
        path.
        """
        pending.waiter = asyncio.get_running_loop().create_future()
        timer = self._clock.call_at(self._clock.deadline_floor(until_ns), pending.wake)
        try:
            await pending.waiter
        finally:
            timer.cancel()

    def answered(self, message: Message[Any]) -> None:
        """An answer came; one that nobody waits for any more is let go."""
        pending = self._pending.get(message.reply_to)
        if pending is not None:
            pending.settle(message)

    def peer_left(self, member: Member, reason: str) -> None:
        """Fail all that waits for that incarnation."""
        gone = PeerDead(f"{member.node} is gone: {reason}", node=member.node)
        for pending in list(self._pending.values()):
            if pending.peer == member.incarnation:
                pending.settle(gone)
        credits = self._credits.pop(member.incarnation, None)
        if credits is not None:
            credits.fail(gone)
        self._round_trips.forget(member.incarnation)
