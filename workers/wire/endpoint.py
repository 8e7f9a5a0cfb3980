"""How workers talk: one class in every world.

Envelope, identity, epoch, deadline, repetition and the link's rules live here and in `outgoing` and
`incoming`; a wire below only moves payloads. A call is answered exactly once by a handler that runs
at most once.
"""

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from configs.schema.link import LinkSpec
from workers.errors import PeerDead
from workers.hardware.hardware import Hardware
from workers.host.clock.base import Clock
from workers.host.trace import Delivered, Trace
from workers.wire.egress import Leaving
from workers.wire.fabric.ends import make_ends
from workers.wire.fabric.fabric import Fabric
from workers.wire.incoming import Incoming
from workers.wire.kind import Note
from workers.wire.kinds.left import NOT_KNOWN_NS, Left
from workers.wire.kinds.notes import Missing, Overdue, Taken
from workers.wire.mail import Mail, Way
from workers.wire.membership import Member, Membership
from workers.wire.message import Message, freeze
from workers.wire.narrow import Narrow
from workers.wire.notes import Notes
from workers.wire.outgoing import Outgoing
from workers.wire.peer import Peer
from workers.wire.remembered import long_past
from workers.wire.roles import WirePrecision
from workers.wire.rules import UNHARMED, Fate, Rule, fate_of, flip_bit
from workers.wire.turns import one_after_the_other

if TYPE_CHECKING:
    import asyncio
# A named tuple's own constructor calls this too, and takes twice as long.
_record = tuple.__new__
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
        fabric: Fabric | None = None,
    ) -> None:
        self.node, self.epoch, self.members, self.link = node, epoch, members, link
        self._clock, self.hardware, self._trace = clock, hardware, trace
        self._mail, self._precision = mail, precision
        self._emulated, self._closed = clock.emulated, False
        # By node, and by the workers that stand there as far as they were asked for.
        self.peers: dict[str, Peer] = {}
        self._by_worker: dict[str, Peer] = {}
        self._by_source: dict[str, Peer] = {}
        self.notes = Notes(node, epoch, mail, spawn, self._knows)
        self.egress, self.ingress = make_ends(
            fabric, node, link, clock, self.notes.tell, hardware.meter, self._deliver
        )
        self._narrowed_out = self.egress.narrowed
        self.outgoing = Outgoing(clock, self.reach, self._send, self.notes.tell, link)
        self.incoming = Incoming(clock, trace, self._send, spawn, on_bug)
        self.notes.hear |= {
            Left: self.ingress.revise,
            Overdue: self._overdue,
            Missing: lambda peer, n: self.outgoing.missing(peer, n.message_id, n.answer_id),
            Taken: lambda peer, n: peer.remembered.taken(n.message_id),
        }
        self.far_ends: Mapping[str, Narrow] = {} if fabric is None else fabric.far_ends
        self.rules, self.num_dropped = dict[str, Rule](), 0
        self.heard: Callable[[str, Message[Any]], Message[Any]] | None = None  # by a wrong clock
        self.has_faults = False  # whether any link of the cluster has: only messages meet them
        members.on_join.append(self._peer_joined)
        members.on_leave.append(self._peer_left)
        if fabric is not None:
            fabric.meet(self.notes, self.peers, members)

    def reach(self, worker: str) -> Peer:
        """Who lives where a worker stands. Raises PeerDead."""
        peer = self._by_worker.get(worker)
        if peer is None:
            member = self.members.reach(worker)
            peer = self._by_worker[worker] = self.peers[member.node]
        return peer

    def credits_taken(self) -> dict[str, int]:
        """Peer node -> credits of it that are taken: all 0 when idle."""
        return {node: peer.credits.taken for node, peer in self.peers.items()}

    # -- sending -----------------------------------------------------------------------------------

    def send(self, message: Message[Any]) -> Awaitable[None] | None:
        """Stamp and send. None: done. Else await it: the wire is full, and it waits for its turn.

        Raises PeerDead if the destination's node is known to be gone.
        """
        peer = self.reach(message.destination)
        message.message_id = self.outgoing.next_id()
        message.concluded = long_past(message.message_id, peer.pending)
        return self._send(message, peer)

    def _send(self, message: Message[Any], peer: Peer) -> Awaitable[None] | None:
        if self._closed:
            raise PeerDead(f"{self.node} is not running: it cannot send to {peer.node}")
        if not message.message_id:
            message.message_id = self.outgoing.next_id()
        if not message.charged_bytes:
            message.charged_bytes = message.content.wire_bytes(self._precision)
        message.source_epoch, message.destination_epoch = self.epoch, peer.epoch
        if peer.node == self.node:
            self._send_local(message, peer)
            return None
        leaving = None
        if self._emulated:
            leaving = self.egress.leave(message, self._clock.now(), peer)
            if self._narrowed_out:
                self.egress.cross(message, self.node, peer, leaving)
        else:
            message.sent_ns = message.due_ns = self._clock.now()
        way = peer.way
        if way is None:
            way = peer.way = self._mail.way(peer.node)
        fate = fate_of(self.rules, self.node, peer.node, message) if self.rules else UNHARMED
        if fate is not UNHARMED:
            return self._send_by_fate(message, fate, way, leaving)
        if leaving is not None and self._mail.shares_memory:
            leaving.shared = (message,)
        return way(message)

    def _send_local(self, message: Message[Any], peer: Peer) -> None:
        """Between workers of one node: costs the node's memory."""
        now_ns = self._clock.now()
        freeze(message.content)
        message.sent_ns = now_ns

        def copied(due_ns: int) -> None:
            message.due_ns = due_ns
            self._clock.call_at(due_ns, self._deliver, peer, message)

        if self._emulated:
            cause = message.content.computed_for
            self.hardware.copy(now_ns, message.charged_bytes, copied, cause)
        else:
            copied(now_ns)

    def _send_by_fate(
        self, message: Message[Any], fate: Fate, way: Way, leaving: Leaving | None
    ) -> Awaitable[None] | None:
        self.num_dropped += not fate.delays_ns
        hit = flip_bit(message) if fate.corrupt and fate.delays_ns else message
        known = hit.due_ns != NOT_KNOWN_NS
        sent = [
            replace(hit, due_ns=hit.due_ns + delay_ns if known else NOT_KNOWN_NS, delay_ns=delay_ns)
            for delay_ns in fate.delays_ns
        ]
        if leaving is not None and self._mail.shares_memory:
            leaving.shared = sent
        turns = [turn for one in sent if (turn := way(one)) is not None]
        return one_after_the_other(turns) if turns else None

    # -- receiving ---------------------------------------------------------------------------------

    def receive(self, message: Message[Any]) -> None:
        """What the mail brings: hold it until its emulated time, then deliver it."""
        peer = self._by_source.get(message.source)
        if peer is None:
            peer = self.find_source(message)
        if (
            peer is None
            or message.source_epoch != peer.epoch
            or message.destination_epoch != self.epoch
        ):
            self.num_dropped += 1  # from or for another incarnation
        elif not message.message_id:  # a note: ids of messages begin with 1
            self.notes.heard(peer, message.content)
        elif self._emulated:
            self.ingress.arrive(peer, message)
        else:
            self._deliver(peer, message)

    def _overdue(self, peer: Peer, note: Overdue) -> None:
        missing = self.incoming.overdue(peer, note.message_id)
        if missing is not None:
            self.notes.tell(peer, missing)

    def find_source(self, message: Message[Any]) -> Peer | None:
        if isinstance(message.content, Note):  # from node to node, all else from worker to worker
            return self.peers.get(message.source)
        peer = self.peers.get(self.members.node_of(message.source) or "")
        if peer is not None:
            self._by_source[message.source] = peer
        return peer

    def _deliver(self, peer: Peer, message: Message[Any]) -> None:
        if self._closed or self.peers.get(peer.node) is not peer:
            self.num_dropped += 1  # this node is gone, or whoever said it is
            return
        if self._emulated:
            late_ns = self._clock.wall_now() - message.due_ns
            told = (
                message.due_ns, message.content.kind, message.source, message.destination,
                message.charged_bytes, message.checksum, message.request_id, late_ns,
            )  # fmt: skip
            self._trace.add(_record(Delivered, told))
        message = message if self.heard is None else self.heard(peer.node, message)
        if message.reply_to:
            self.outgoing.answered(peer, message)
        else:
            self.incoming.called(peer, message)

    # -- incarnations ------------------------------------------------------------------------------

    def _knows(self, peer: Peer) -> bool:
        """Whether it lives, as far as this node knows."""
        return self.peers.get(peer.node) is peer

    def close(self) -> None:
        """The node is gone: what is still on its way to it is delivered to nobody."""
        self._closed = True

    def peer_died(self, node: str, reason: str) -> None:
        """The wire's `on_peer_dead`."""
        self.members.leave(node, reason)

    def _peer_joined(self, member: Member) -> None:
        """The slower of the two links says how long the path is, each end how long it starts up."""
        latency_ns = max(self.link.latency_ns, member.link.latency_ns)
        latency_ns += self.egress.inner_ns(member.node)
        self.peers[member.node] = Peer(member, latency_ns, self._clock, self.link.startup_ns)

    def _peer_left(self, member: Member, reason: str) -> None:
        peer = self.peers.pop(member.node, None)
        if peer is not None:
            for by_name in (self._by_worker, self._by_source):
                for worker in [w for w, p in by_name.items() if p is peer]:
                    del by_name[worker]
            self.outgoing.peer_left(peer, reason)
