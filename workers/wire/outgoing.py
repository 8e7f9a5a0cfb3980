"""The calls that a node makes: credits, what is pending, patience, repetition, deadline.

caller                                        receiver
  post ── call 7 ───────────────────────────▶   handler runs
       ── overdue 7 (no answer in time) ····▶   has it: says nothing
       ── overdue 7 ························▶   never saw it, or its answer was lost:
       ◀···························· missing 7
       ── call 7 ───────────────────────────▶   known id: nothing runs; answered again if there
                                                is an answer
       ◀────────────────────────── answer 7 ──

Only what was lost is sent again. Being slow is no loss, and a delay that a rule asks for is none
either: what a call is charged for is what it takes, whatever anybody expected. How soon a loss is
noticed follows from how long answers have taken, and never from less than the bytes and the path
ask for. Questions and what they are answered (`kinds.notes`) cost nothing: they stand for the
acknowledgements of a real transport.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from configs.schema.link import LinkSpec
from workers.errors import DeadlineExceeded, PeerDead, PerfuseError, from_body
from workers.host.clock.base import Clock
from workers.wire.calls import Pending, Waiter
from workers.wire.curve import lane_ns
from workers.wire.kind import A_co, Failed
from workers.wire.kinds.notes import Overdue, Taken
from workers.wire.message import Message
from workers.wire.notes import Tell
from workers.wire.peer import Peer
from workers.wire.round_trips import patience_ns_least

Send = Callable[[Message[Any], Peer], Awaitable[None] | None]
# Raises PeerDead.
Reach = Callable[[str], Peer]
# Whoever gave an answer of so many bytes is told when it is taken, and lets go of it. It keeps
# others until later calls say that they are concluded.
LARGE_BYTES = 1 << 16


class Outgoing:
    """Calls of one node that have no answer yet."""

    def __init__(self, clock: Clock, reach: Reach, send: Send, tell: Tell, link: LinkSpec) -> None:
        self._clock, self._reach, self._send, self._tell = clock, reach, send, tell
        self._link = link
        self._num_pending = 0
        self._last_id = 0

    def in_flight(self) -> int:
        """Calls without an answer: 0 when idle."""
        return self._num_pending

    def path_bytes(self, worker: str) -> int:
        """What the path to a worker and back holds. Raises PeerDead."""
        peer = self._reach(worker)
        bytes_per_s = min(self._link.bytes_per_s, peer.link.bytes_per_s)
        return peer.there_and_back_ns * bytes_per_s // 1_000_000_000

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
        pending = self._open(message, peer)
        try:
            return pending, self._send(message, peer)
        except BaseException:
            self.forget(pending)
            raise

    def open_now(self, message: Message[Any]) -> Pending[Any] | None:
        """Begin a call that goes by way of somebody else: nothing is sent here, unless it turns out
        to be lost. None where the peer has no credit left.
        """
        peer = self._reach(message.destination)
        if message.content.takes_credit and not peer.credits.take():
            return None
        return self._open(message, peer)

    def _open(self, message: Message[Any], peer: Peer) -> Pending[Any]:
        assert message.deadline_ns, "a call has a deadline"
        self._last_id = message.message_id = self._last_id + 1
        pending: Pending[Any] = Pending(self, peer, message, self._clock.now())
        peer.pending[message.message_id] = pending
        self._num_pending += 1
        message.concluded = next(iter(peer.pending))
        return pending

    def forget(self, pending: Pending[Any]) -> None:
        peer, answer = pending.peer, pending.answer
        if peer.pending.pop(pending.message.message_id, None) is None:
            return
        self._num_pending -= 1
        if pending.message.content.takes_credit:
            peer.credits.give()
        if type(answer) is not Message or answer.charged_bytes >= LARGE_BYTES:
            self._tell(peer, Taken(pending.message.message_id))

    def take(self, pending: Pending[A_co]) -> A_co:
        """The content of the answer, once. Raises what the handler raised, or why there is none."""
        answer, message = pending.answer, pending.message
        self.forget(pending)
        assert answer is not None, f"{message.kind} has not been settled"
        if isinstance(answer, PerfuseError):
            raise answer
        due_ns = answer.due_ns
        self._clock.advance(due_ns)
        if not pending.is_repeated:
            pending.peer.round_trips.heard(message.content.kind, due_ns - pending.posted_ns)
        content: A_co = answer.content
        if isinstance(content, Failed):
            raise from_body(dict(content.error))
        return content

    async def wait(
        self,
        pendings: Sequence[Pending[Any]],
        until_ns: int | None = None,
        is_enough: Callable[[], bool] | None = None,
    ) -> None:
        """Until each is settled: answered, refused, or out of time; or it is enough, or then. One
        future and one timer for all: this is the hot path.
        """
        waiting = [pending for pending in pendings if pending.answer is None]
        if not waiting:
            return
        waiter, now_ns = Waiter(len(waiting), is_enough), self._clock.now()
        for pending in waiting:
            pending.waiter = waiter
        least_ns = min(pending.message.deadline_ns for pending in waiting) - now_ns
        then_ns = now_ns + min(patience_ns_least(least_ns), max(least_ns, 0))
        while waiter.is_open and (until_ns is None or now_ns < until_ns):
            at_ns = self._clock.deadline_floor(then_ns)
            if until_ns is not None and until_ns < at_ns:
                at_ns = then_ns = until_ns
            if await waiter.is_time(self._clock, at_ns):
                now_ns = then_ns
            if waiter.is_open:
                waiting = [pending for pending in waiting if pending.answer is None]
                then_ns = await self._look_after(waiting, now_ns)

    async def _look_after(self, waiting: Sequence[Pending[Any]], now_ns: int) -> int:
        """Ask for what is overdue, send again what is lost, give up what is out of time; returns
        when to look next.
        """
        next_ns = []
        for pending in waiting:
            message, deadline_ns = pending.message, pending.message.deadline_ns
            if now_ns >= deadline_ns:
                text = f"{message.kind} to {message.destination} was not answered in time"
                pending.settle(DeadlineExceeded(text))
                continue
            if not pending.patience_ns:
                pending.patience_ns = self._patience_ns(pending)
                pending.overdue_ns = pending.posted_ns + pending.patience_ns
            if now_ns >= pending.overdue_ns:
                pending.patience_ns *= 2
                pending.overdue_ns = now_ns + pending.patience_ns
                self._tell(pending.peer, Overdue(message.message_id))
            if pending.is_lost:
                await self._again(pending)
            next_ns.append(min(pending.overdue_ns, deadline_ns))
        return min(next_ns, default=now_ns)

    def _patience_ns(self, pending: Pending[Any]) -> int:
        """As long as such calls took; no loss shows before the path can have been gone twice."""
        message, peer = pending.message, pending.peer
        lanes_ns = [lane_ns(link, message.charged_bytes) for link in (self._link, peer.link)]
        path_ns = peer.there_and_back_ns + max(lanes_ns)
        left_ns = message.deadline_ns - pending.posted_ns
        return max(peer.round_trips.patience_ns(message.kind, left_ns), path_ns)

    async def _again(self, pending: Pending[Any]) -> None:
        pending.is_repeated, pending.is_lost = True, False
        self._clock.join_wall()  # it leaves now, not when the call began
        message = pending.message.again()
        message.concluded = next(iter(pending.peer.pending))
        try:
            if (turn := self._send(message, pending.peer)) is not None:
                await turn
        except PeerDead as gone:
            pending.settle(gone)

    def missing(self, peer: Peer, message_id: int, answer_id: int) -> None:
        """What a peer says of an overdue call: it was lost, unless its answer is on its way."""
        pending: Pending[Any] | None = peer.pending.get(message_id)
        if pending is None or pending.answer is not None or answer_id in peer.arriving:
            return
        pending.is_lost = True
        if pending.waiter is not None:
            pending.waiter.wake()

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
