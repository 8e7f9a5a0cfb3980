"""How workers talk: one class in every world.

Envelope, identity, epoch, deadline, repetition and the link's rules live here and in `outgoing` and
`incoming`; a wire below only moves payloads. A call is answered exactly once by a handler that runs
at most once.
"""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from workers.hardware.hardware import Hardware
from workers.host.clock.base import Clock
from workers.host.trace import Delivered, Trace
from workers.wire.incoming import Incoming
from workers.wire.kind import WirePrecision
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
        link: Link,
        hardware: Hardware,
        trace: Trace,
        mail: Mail,
        members: Membership,
        spawn: Spawn,
        on_bug: Callable[[str, BaseException], None],
        precision: WirePrecision,
    ) -> None:
        self.node, self.epoch, self.members = node, epoch, members
        self._clock, self._link, self._hardware, self._trace = clock, link, hardware, trace
        self._mail, self._precision = mail, precision
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
            self._link.leave(message, self._clock.now(), member.link)
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
            sent_ns, due_ns = arriving.sent_ns + delay_ns, arriving.due_ns + delay_ns
            turn = self._mail.send(node, replace(arriving, sent_ns=sent_ns, due_ns=due_ns))
            if turn is not None:
                turns.append(turn)
        return _one_after_the_other(turns) if turns else None

    # -- receiving
    # -------------------------------------------------------------------------------------------

    def receive(self, message: Message[Any]) -> None:
        """What the mail brings: hold it until its emulated time, then deliver it."""
        node = self.members.node_of(message.source) or ""
        member = self.members.member(node)
        if (
            member is None
            or message.destination_epoch != self.epoch
            or message.source_epoch != member.epoch
        ):
            self.num_dropped += 1  # from or for another incarnation
            return
        if not self._clock.emulated:
            self._deliver(member.incarnation, message)
            return
        first_byte_ns = message.sent_ns + self._link.latency_ns(member.link)
        self._clock.call_at(first_byte_ns, lambda: self._ingress(member, message, first_byte_ns))

    def _ingress(self, member: Member, message: Message[Any], first_byte_ns: int) -> None:
        message.due_ns = self._link.arrive(message, first_byte_ns)
        self._clock.call_at(message.due_ns, lambda: self._deliver(member.incarnation, message))

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
