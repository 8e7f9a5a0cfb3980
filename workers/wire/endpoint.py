"""How workers talk: one class in every world.

Envelope, identity, epoch, credits, deadline, retry, dedupe and the link's rules live here; a
transport below only moves messages. A call is answered exactly once by a handler that runs at most
once: the caller repeats the message under the same id until it is answered, and the receiver
answers a repetition from memory.

    caller                                        receiver
      post ── call 7 ───────────────────────────▶   handler runs
           ── call 7 (no answer in time) ───────▶   known id: nothing runs; answered again if there
                                                    is an answer
           ◀────────────────────────── reply 7 ──
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any

from workers.errors import DeadlineExceeded, PeerDead, PerfuseError, from_body, to_body
from workers.hardware.hardware import Hardware
from workers.host.clock.base import Clock
from workers.host.trace import Delivered, Trace
from workers.wire.calls import (
    CREDITS_PER_PEER,
    Handled,
    Handler,
    Outcome,
    Pending,
    Remembered,
    Reply,
    RoundTrips,
)
from workers.wire.link import Link, Peer
from workers.wire.message import Message, frozen
from workers.wire.rules import Rule, fate_of, flip_bit
from workers.wire.transport.base import Transport

Spawn = Callable[[Coroutine[Any, Any, Any], str], "asyncio.Task[Any]"]


class Endpoint:
    """All messages of one node."""

    def __init__(
        self,
        node: str,
        epoch: int,
        clock: Clock,
        link: Link,
        hardware: Hardware,
        trace: Trace,
        transport: Transport,
        directory: Mapping[str, str],
        peers: Mapping[str, Peer],
        spawn: Spawn,
    ) -> None:
        self.node, self.epoch = node, epoch
        self._clock, self._link, self._hardware, self._trace = clock, link, hardware, trace
        self._transport, self._directory, self._peers = transport, directory, peers
        self._spawn = spawn
        self._handlers: dict[tuple[str, str], Handler] = {}
        self._pending: dict[int, Pending] = {}
        self._credits: dict[str, asyncio.Semaphore] = {}
        self._remembered: dict[str, Remembered] = {}
        self._round_trips = RoundTrips()
        self._closed = False
        self._last_id = 0
        self._dead: dict[str, str] = {}
        self.rules: dict[str, Rule] = {}
        self.on_peer_dead: list[Callable[[str, str], None]] = []
        self.num_dropped = 0

    def node_of(self, worker: str) -> str | None:
        """The node that a worker stands on, or None if there is no such worker."""
        return self._directory.get(worker)

    def in_flight(self) -> int:
        """Calls without an answer: 0 when idle."""
        return len(self._pending)

    def handle(self, worker: str, kind: str, handler: Handler) -> None:
        key = (worker, kind)
        assert key not in self._handlers, f"{worker} already handles {kind}"
        self._handlers[key] = handler

    # -- sending
    # ---------------------------------------------------------------------------------------------

    async def send(self, message: Message) -> None:
        """Stamp and send. Raises PeerDead at once if the destination's node is known to be gone."""
        node = self._directory.get(message.destination)
        if node is None:
            raise PeerDead(f"there is no worker {message.destination!r} in this cluster")
        message.source_epoch = self.epoch
        if not message.message_id:
            self._last_id += 1
            message.message_id = self._last_id
        if not message.declared_bytes:
            message.declared_bytes = message.payload_bytes()
        if node == self.node:
            self._send_local(message)
            return
        if node in self._dead:
            raise PeerDead(
                f"{message.destination} on {node} is gone: {self._dead[node]}", node=node
            )
        peer = self._peers[node]
        message.destination_epoch = peer.epoch
        if self._clock.emulated:
            self._link.leave(message, self._clock.now(), peer.link)
        else:
            message.sent_ns = message.due_ns = self._clock.now()
        await self._obey_rules(node, message)

    def _send_local(self, message: Message) -> None:
        """Between workers of one node: costs the node's memory."""
        now_ns = self._clock.now()
        message.destination_epoch = self.epoch
        message.sent_ns = now_ns
        message.columns = {name: frozen(array) for name, array in message.columns.items()}
        message.tensors = {name: frozen(array) for name, array in message.tensors.items()}

        def copied(due_ns: int) -> None:
            message.due_ns = due_ns
            self._clock.call_at(due_ns, lambda: self._deliver(self.node, message))

        if self._clock.emulated:
            self._hardware.copy(now_ns, message.declared_bytes, copied)
        else:
            copied(now_ns)

    async def _obey_rules(self, node: str, message: Message) -> None:
        if not self.rules:
            await self._transport.send(node, message)
            return
        fate = fate_of(self.rules, self.node, node, message)
        if not fate.delays_ns:
            self.num_dropped += 1
            return
        arriving = flip_bit(message) if fate.corrupt else message
        for delay_ns in fate.delays_ns:
            sent_ns, due_ns = arriving.sent_ns + delay_ns, arriving.due_ns + delay_ns
            await self._transport.send(node, replace(arriving, sent_ns=sent_ns, due_ns=due_ns))

    async def post(self, message: Message) -> Pending:
        """Send a call, waiting for a credit of the peer first; `Pending.reply` waits for the
        answer.
        """
        assert message.deadline_ns, "a call has a deadline"
        node = self._directory.get(message.destination, "")
        credits = self._credits.setdefault(node, asyncio.Semaphore(CREDITS_PER_PEER))
        await credits.acquire()
        self._last_id += 1
        message.message_id = self._last_id
        pending = Pending(self, node, message, self._clock.now())
        self._pending[message.message_id] = pending
        try:
            await self.send(message)
        except BaseException:
            self.forget(pending)
            raise
        return pending

    def forget(self, pending: Pending) -> None:
        if self._pending.pop(pending.message.message_id, None) is not None:
            self._credits[pending.node].release()

    async def await_reply(self, pending: Pending) -> Message:
        message, until_ns = pending.message, self._clock.now()
        patience_ns = self._round_trips.patience_ns(
            pending.node, message.kind, message.deadline_ns - until_ns
        )
        is_first = True
        try:
            while pending.answer is None and until_ns < message.deadline_ns:
                if not is_first:
                    await self.send(replace(message))
                    patience_ns *= 2  # whoever is slow is not helped by more of the same
                    pending.is_repeated = True
                until_ns = min(until_ns + patience_ns, message.deadline_ns)
                await self._await_answer(pending, until_ns)
                is_first = False
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
            self._round_trips.heard(pending.node, message.kind, took_ns)
        if answer.kind == "error":
            raise from_body(dict(answer.body))
        return answer

    async def _await_answer(self, pending: Pending, until_ns: int) -> None:
        """Until there is an answer or the time is up. One future and one timer: this is the hot
        path.
        """
        if pending.answer is not None:
            return
        pending.waiter = asyncio.get_running_loop().create_future()
        timer = self._clock.call_at(self._clock.deadline_floor(until_ns), pending.wake)
        try:
            await pending.waiter
        finally:
            timer.cancel()

    # -- receiving
    # -------------------------------------------------------------------------------------------

    def receive(self, message: Message) -> None:
        """The transport's `on_message`: hold the message until its emulated time, then deliver
        it.
        """
        node = self._directory.get(message.source, "")
        peer = self._peers.get(node)
        if (
            peer is None
            or message.destination_epoch != self.epoch
            or message.source_epoch != peer.epoch
        ):
            self.num_dropped += 1  # from or for another incarnation
            return
        if not self._clock.emulated:
            self._deliver(node, message)
            return
        first_byte_ns = message.sent_ns + self._link.latency_ns(peer.link)
        self._clock.call_at(first_byte_ns, lambda: self._ingress(node, message, first_byte_ns))

    def _ingress(self, node: str, message: Message, first_byte_ns: int) -> None:
        message.due_ns = self._link.arrive(message, first_byte_ns)
        self._clock.call_at(message.due_ns, lambda: self._deliver(node, message))

    def close(self) -> None:
        """The node is gone: what is still on its way to it is delivered to nobody."""
        self._closed = True

    def _deliver(self, node: str, message: Message) -> None:
        if self._closed:
            return
        if self._clock.emulated:
            self._trace.add(_record(message, self._clock.wall_now() - message.due_ns))
        if message.reply_to:
            pending = self._pending.get(message.reply_to)
            if pending is not None:
                pending.settle(message)
            return
        if self._is_repetition(node, message):
            return
        handler = self._handlers.get((message.destination, message.kind))
        if handler is None:
            text = f"{message.destination} does not understand {message.kind!r}"
            self._spawn(self._answer_error(message, PerfuseError(text)), "error")
            return
        try:
            outcome = handler(message)
        except PerfuseError as error:
            self._spawn(self._answer_error(message, error), "error")
            return
        except Exception as error:
            self._spawn(self._answer_bug(message, error), f"{message.destination}:{message.kind}")
            return
        if isinstance(outcome, Awaitable):
            self._spawn(self._finish(message, outcome), f"{message.destination}:{message.kind}")
        elif outcome is not Handled.LATER and message.deadline_ns:
            self._spawn(self.reply(message, outcome or Reply()), "reply")

    async def _finish(self, message: Message, outcome: Awaitable[Outcome]) -> None:
        try:
            answer = await outcome
        except PerfuseError as error:
            await self._answer_error(message, error)
            return
        except Exception as error:
            await self._answer_error(message, error)
            raise
        if not isinstance(answer, Handled) and message.deadline_ns:
            await self.reply(message, answer or Reply())

    def _is_repetition(self, node: str, message: Message) -> bool:
        known = self._remembered.setdefault(node, Remembered())
        if message.message_id not in known:
            known.begin(message.message_id)
            return False
        answer = known.answer_to(message.message_id)
        if answer is not None:
            self._spawn(self._send_quietly(replace(answer, message_id=0)), "repeat")
        return True

    async def reply(self, message: Message, reply: Reply, kind: str = "reply") -> None:
        """Outcome a call. The asker being gone is not the answerer's problem."""
        answer = Message(
            kind=kind,
            source=message.destination,
            destination=message.source,
            reply_to=message.message_id,
            request_id=message.request_id,
            declared_bytes=reply.declared_bytes or 0,
            body=reply.body,
            columns=reply.columns,
            tensors=reply.tensors,
        )
        self._remembered[self._directory[message.source]].answered(message.message_id, answer)
        await self._send_quietly(answer)

    async def _send_quietly(self, message: Message) -> None:
        try:
            await self.send(message)
        except PeerDead:
            self.num_dropped += 1

    async def _answer_bug(self, message: Message, error: Exception) -> None:
        """What no handler should raise: the caller hears of it, and so does whoever watches the
        node's tasks.
        """
        await self._answer_error(message, error)
        raise error

    async def _answer_error(self, message: Message, error: Exception) -> None:
        self._trace.note(
            self._clock.now(), "error", message.kind, f"{message.destination}: {error}"
        )
        if message.deadline_ns:
            await self.reply(message, Reply(body=to_body(error)), kind="error")

    def peer_died(self, node: str, reason: str) -> None:
        """The transport's `on_peer_dead`: fail all that waits for that node."""
        if node in self._dead:
            return
        self._dead[node] = reason
        for pending in list(self._pending.values()):
            if pending.node == node:
                pending.settle(PeerDead(f"{node} is gone: {reason}", node=node))
        for listener in self.on_peer_dead:
            listener(node, reason)


def _record(message: Message, late_ns: int) -> Delivered:
    return Delivered(
        message.due_ns,
        message.kind,
        message.source,
        message.destination,
        message.declared_bytes,
        message.checksum,
        message.request_id,
        late_ns,
    )
