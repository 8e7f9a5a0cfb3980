"""What all wires between processes have in common: peers by name, frames of bounded size, an end in
order.
"""

import asyncio
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from typing import Generic

from workers.errors import PeerDead
from workers.wire.transport.base import Buffer, OnPayload, OnPeerDead, Payload
from workers.wire.transport.limits import FLUSH_TIMEOUT_S, MESSAGE_BYTES_MAX
from workers.wire.transport.links import L, Links
from workers.wire.transport.packet import unpack


class LinkedTransport(Generic[L]):
    """One node's links; belongs to the event loop that starts it."""

    _links: Links[L]

    def __init__(self, node_name: str) -> None:
        self.node_name = node_name
        self._on_payload: OnPayload | None = None
        self._on_peer_dead: OnPeerDead | None = None

    async def start(self, on_payload: OnPayload, on_peer_dead: OnPeerDead) -> str:
        """Begin to receive; returns "host:port" or "unix:path".

        Raises OSError if it cannot listen or the way of the frames cannot be had.
        """
        self._on_payload, self._on_peer_dead = on_payload, on_peer_dead
        self._links.address = await self._listen()
        return self._links.address

    async def _listen(self) -> str:
        """Let peers in from now on; where."""
        raise NotImplementedError

    async def _shut(self) -> None:
        """Let go of all that `_listen` made; safe without it."""
        raise NotImplementedError

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
            is_closed = self._links.closed
            what = "is closed" if is_closed else f"knows no peer {node!r}: connect to it first"
            raise PeerDead(f"node {self.node_name!r} {what}", node=node)
        frame = b"".join(payload)  # the one copy
        if len(frame) > MESSAGE_BYTES_MAX:
            raise ValueError(
                f"a message for {node!r} takes {len(frame)} bytes: at most {MESSAGE_BYTES_MAX} can "
                "be sent, so send it in parts"
            )
        return link.send(frame)

    def queued_bytes(self, node: str) -> int:
        """Bytes that wait for the node, without those being written."""
        link = self._links.by_name.get(node)
        return 0 if link is None else link.outbox.num_bytes

    async def close(self) -> None:
        """Give what is queued FLUSH_TIMEOUT_S to leave, then end all links, and let nobody in."""
        if self._links.closed:
            return
        self._links.closed = True
        links = list(self._links.by_name.values())
        with suppress(TimeoutError):  # the bound on flushing: what is left is dropped
            await asyncio.wait_for(
                asyncio.gather(*(link.leave() for link in links)), FLUSH_TIMEOUT_S
            )
        tasks = [task for link in links for task in link.tasks]
        for link in links:
            self._links.lose(link, "this node closed", report=False)
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._shut()

    def _arrived(self, packet: Buffer) -> None:
        """A packet has come whole. Raises CorruptMessage if it is none: its link is to be lost."""
        for frame in unpack(packet):
            self._deliver(frame)

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
