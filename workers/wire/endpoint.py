"""How workers talk: one class in every world.

Envelope, identity, epoch, deadline, repetition and the link's rules live here and in `outgoing` and
`incoming`; a wire below only moves payloads. A call is answered exactly once by a handler that runs
at most once.
"""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from configs.schema.link import LinkSpec
from workers.errors import PeerDead
from workers.hardware.hardware import Hardware
from workers.host.clock.base import Clock
from workers.host.trace import Delivered, Trace
from workers.wire.incoming import Incoming
from workers.wire.ingress import Ingress
from workers.wire.kind import WirePrecision
from workers.wire.kinds.left import NOT_KNOWN_NS, Left
from workers.wire.lane import Lane
from workers.wire.link import Link
from workers.wire.mail import Mail
from workers.wire.membership import Incarnation, Member, Membership
from workers.wire.message import Message, freeze
from workers.wire.outgoing import Outgoing
from workers.wire.rules import Rule, fate_of, flip_bit

if TYPE_CHECKING:
    import asyncio

Spawn = Callable[[Coroutine[Any, Any, Any], str], "asyncio.Task[Any]"]


class Endpoint:
    """All messages of one incarnation of a node."""

    def __init__(
        self,
        node: str,
        epoch: int,
        clock: Clock,
        link: LinkSpec,
        hardware: Hardware,
        trace: Trace,
        mail: Mail,
        members: Membership,
        spawn: Spawn,
        on_bug: Callable[[str, BaseException], None],
        precision: WirePrecision,
    ) -> None:
        self.node, self.epoch, self.members = node, epoch, members
        self._clock, self._hardware, self._trace = clock, hardware, trace
        self.link = Link(link, clock, self._tell_left)
        self.ingress = Ingress(clock, Lane(link, clock), self._deliver)
        self._mail, self._precision, self._spawn = mail, precision, spawn
        self.outgoing = Outgoing(clock, members, self.send)
        self.incoming = Incoming(clock, trace, self.send, spawn, on_bug)
        self._self: Incarnation = (node, epoch)
        self._closed = False
        self.rules: dict[str, Rule] = {}
        self.num_dropped = 0
        members.on_leave.append(self._peer_left)

    # -- sending
    # ---------------------------------------------------------------------------------------------

    def send(self, message: Message[Any]) -> Awaitable[None] | None:
        """Stamp and send. None: done. Else await it: the wire is full, and it waits for its turn.

        Raises PeerDead if the destination's node is known to be gone.
        """
        node = self.members.node_of(message.destination)
        message.source_epoch = self.epoch
        if not message.message_id:
            message.message_id = self.outgoing.next_id()
        if not message.charged_bytes:
            message.charged_bytes = message.content.wire_bytes(self._precision)
        if node == self.node:
            self._send_local(message)
            return None
        member = self.members.reach(message.destination)
        message.destination_epoch = member.epoch
        if self._clock.emulated:
            self.link.leave(message, self._clock.now(), member)
        else:
            message.sent_ns = message.due_ns = self._clock.now()
        if self.rules:
            return self._obey_rules(member.node, message)
        return self._mail.send(member.node, message)

    def _send_local(self, message: Message[Any]) -> None:
        """Between workers of one node: costs the node's memory."""
        now_ns = self._clock.now()
        freeze(message.content)
        message.destination_epoch = self.epoch
        message.sent_ns = now_ns

        def copied(due_ns: int) -> None:
            message.due_ns = due_ns
            self._clock.call_at(due_ns, lambda: self._deliver(self._self, message))

        if self._clock.emulated:
            self._hardware.copy(now_ns, message.charged_bytes, copied)
        else:
            copied(now_ns)

    def _obey_rules(self, node: str, message: Message[Any]) -> Awaitable[None] | None:
        fate = fate_of(self.rules, self.node, node, message)
        if not fate.delays_ns:
            self.num_dropped += 1
            return None
        arriving = flip_bit(message) if fate.corrupt else message
        turns = []
        for delay_ns in fate.delays_ns:
            due_ns = arriving.due_ns
            if due_ns != NOT_KNOWN_NS:
                due_ns += delay_ns
            turn = self._mail.send(node, replace(arriving, due_ns=due_ns, delay_ns=delay_ns))
            if turn is not None:
                turns.append(turn)
        return _one_after_the_other(turns) if turns else None

    def _tell_left(self, to: Incarnation, left: Left) -> None:
        """What this emulator knows of a message's end, for the one at the far end."""
        node, epoch = to
        if not self.members.lives(node, epoch):
            return
        note = Message(left, self.node, node, self.epoch, epoch)
        try:
            turn = self._mail.send(node, note)
        except PeerDead:
            return  # it was to be told of a message that nobody will read
        if turn is not None:
            self._spawn(_quietly(turn), "left")

    # -- receiving
    # -------------------------------------------------------------------------------------------

    def receive(self, message: Message[Any]) -> None:
        """What the mail brings: hold it until its emulated time, then deliver it."""
        content = message.content
        is_note = isinstance(content, Left)  # from node to node, not from worker to worker
        node = message.source if is_note else self.members.node_of(message.source) or ""
        member = self.members.member(node)
        if (
            member is None
            or message.destination_epoch != self.epoch
            or message.source_epoch != member.epoch
        ):
            self.num_dropped += 1  # from or for another incarnation
        elif isinstance(content, Left):
            self.ingress.revise(member.incarnation, content)
        elif self._clock.emulated:
            latency_ns = self.link.latency_ns(member.link)
            self.ingress.arrive(member.incarnation, message, latency_ns, member.link.bytes_per_s)
        else:
            self._deliver(member.incarnation, message)

    def _deliver(self, source: Incarnation, message: Message[Any]) -> None:
        if self._closed or not (source == self._self or self.members.lives(*source)):
            self.num_dropped += 1  # this node is gone, or whoever said it is
            return
        if self._clock.emulated:
            self._trace.add(_record(message, self._clock.wall_now() - message.due_ns))
        if message.reply_to:
            self.outgoing.answered(message)
        else:
            self.incoming.called(source, message)

    # -- incarnations
    # ---------------------------------------------------------------------------------------------

    def close(self) -> None:
        """The node is gone: what is still on its way to it is delivered to nobody."""
        self._closed = True

    def peer_died(self, node: str, reason: str) -> None:
        """The wire's `on_peer_dead`."""
        self.members.leave(node, reason)

    def _peer_left(self, member: Member, reason: str) -> None:
        self.outgoing.peer_left(member, reason)
        self.incoming.peer_left(member)


async def _one_after_the_other(turns: Sequence[Awaitable[None]]) -> None:
    for turn in turns:
        await turn


async def _quietly(turn: Awaitable[None]) -> None:
    with suppress(PeerDead):
        await turn


def _record(message: Message[Any], late_ns: int) -> Delivered:
    return Delivered(
        message.due_ns,
        message.kind,
        message.source,
        message.destination,
        message.charged_bytes,
        message.checksum,
        message.request_id,
        late_ns,
    )
