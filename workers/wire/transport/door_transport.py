"""What the wires with doors have in common: peers by name, frames in turn, an end in order.

Each node has a door, a socket of its own. Whoever is told of a peer first knocks: on that stream
both prove that they know the cluster's secret and say how they are reached (`handshake`); nothing
else is read from anybody before. From then on frames cross by a faster way, and the stream stays
open, so that a peer's death shows at once (`links`, `link`).

    dialler                                            acceptor
    handshake                              <->         knows no such secret: says so, closes
                                                       has or dials a link, has the smaller name:
                                                       CROSSED (of crossing dials one stands)
    frames, by the way                     <->         frames, by the way
    BYE, after a flush                      ->         has all that was sent, closes

A link never comes back: when it breaks, the peer is dead until `connect` names it again or it
dials us.
"""

import asyncio
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from typing import Generic

from workers.errors import CorruptMessage, PeerDead
from workers.wire.transport.base import Buffer, OnPayload, OnPeerDead, Payload
from workers.wire.transport.door import Door
from workers.wire.transport.limits import FLUSH_TIMEOUT_S, MESSAGE_BYTES_MAX
from workers.wire.transport.link import Link
from workers.wire.transport.links import L, Links
from workers.wire.transport.packet import unpack


class DoorTransport(Generic[L]):
    """One node's door and links; belongs to the event loop that starts it."""

    _links: Links[L]
    _door: Door

    def __init__(self, node_name: str) -> None:
        self.node_name = node_name
        self._on_payload: OnPayload | None = None
        self._on_peer_dead: OnPeerDead | None = None

    async def start(self, on_payload: OnPayload, on_peer_dead: OnPeerDead) -> str:
        """Begin to receive; returns "host:port" or "unix:path".

        Raises OSError if it cannot listen or the way of the frames cannot be had.
        """
        self._on_payload, self._on_peer_dead = on_payload, on_peer_dead
        self._begin()
        try:
            self._links.address = await self._door.open()
        except OSError as error:
            raise OSError(f"node {self.node_name!r} {error}") from error
        return self._links.address

    def _begin(self) -> None:
        """Make what all links need."""

    def _end(self) -> None:
        """Let go of it; safe to call twice, and without `_begin`."""

    async def connect(self, addresses: Mapping[str, str]) -> None:
        """Dial the peers that have no link; returns when each has one or is unreachable.

        An unreachable peer raises nothing here: a later `send` to it raises PeerDead with the
        reason.
        """
        links = []
        for node, address in addresses.items():
            if node == self.node_name:
                continue
            link = self._links.by_name.get(node)
            if link is None or link.address != address or link.outbox.ended:
                if link is not None:
                    self._links.lose(link, f"it moved to {address!r}", report=False)
                link = self._links.begin(node, address)
            links.append(link)
        for link in links:
            await link.settled.wait()

    def send(self, node: str, payload: Payload) -> Awaitable[None] | None:
        """Send a frame's parts to the node, or queue them; to be awaited while the queue is full.

        Raises PeerDead if the node is unknown or gone, ValueError if the frame is longer than
        MESSAGE_BYTES_MAX.
        """
        link = self._links.by_name.get(node)
        if link is None or self._links.closed:
            what = (
                "is closed"
                if self._links.closed
                else f"knows no peer {node!r}: connect to it first"
            )
            raise PeerDead(f"node {self.node_name!r} {what}", node=node)
        frame = b"".join(payload)  # the one copy
        if len(frame) > MESSAGE_BYTES_MAX:
            raise ValueError(
                f"a message for {node!r} takes {len(frame)} bytes: at most {MESSAGE_BYTES_MAX} can "
                "be sent, so send it in parts"
            )
        if link.outbox.must_wait():
            return _in_turn(link, frame)
        if not link.send_now(frame):
            link.put(frame)
        return None

    def queued_bytes(self, node: str) -> int:
        """Bytes that wait for the node, without those being written."""
        link = self._links.by_name.get(node)
        return 0 if link is None else link.outbox.num_bytes

    @property
    def num_refused(self) -> int:
        """Streams at this node's door that were none of the cluster's, so far."""
        return self._door.num_refused

    @property
    def last_refusal(self) -> str:
        """Why the last of them was refused."""
        return self._door.last_refusal

    async def close(self) -> None:
        """Give what is queued FLUSH_TIMEOUT_S to leave, then end all links, door and worker."""
        if self._links.closed:
            return
        self._links.closed = True
        links = list(self._links.by_name.values())
        with suppress(TimeoutError):  # the bound on flushing: what is left is dropped
            flushes = asyncio.gather(*(_finish(link) for link in links))
            await asyncio.wait_for(flushes, FLUSH_TIMEOUT_S)
        tasks = [task for link in links for task in link.tasks]
        for link in links:
            self._links.lose(link, "this node closed", report=False)
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._door.close()
        self._end()

    def _arrived(self, link: L, packet: Buffer) -> None:
        """A packet of a link has come whole."""
        link.received()
        try:
            for frame in unpack(packet):
                self._deliver(frame)
        except CorruptMessage as error:
            self._links.lose(link, str(error))

    def _deliver(self, frame: Buffer) -> None:
        assert self._on_payload is not None, "links begin after start"
        try:
            self._on_payload(frame)
        except Exception as error:  # a receiver's bug ends its message, not the wire
            what = f"what node {self.node_name!r} received ended in an error"
            context = {"message": what, "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)

    def _lost(self, node: str, reason: str) -> None:
        assert self._on_peer_dead is not None, "links begin after start"
        self._on_peer_dead(node, reason)


async def _finish(link: Link) -> None:
    """Flush, say so, and wait until the peer has read that far."""
    if link.up:
        await link.outbox.flushed()
    if link.up:
        link.say_bye()
        await link.gone.wait()


async def _in_turn(link: Link, frame: bytes) -> None:
    await link.outbox.room()
    link.put(frame)
