"""The links of one node over shared memory: who dials makes it, and passes it on."""

import asyncio
from collections.abc import Callable
from typing import Any

from workers.wire.transport import shm_memory
from workers.wire.transport.base import Buffer
from workers.wire.transport.door_links import DoorLinks, OnWelcome
from workers.wire.transport.handshake import HandshakeError, Introduction
from workers.wire.transport.shm_link import ShmLink
from workers.wire.transport.shm_memory import Shared


class ShmLinks(DoorLinks[ShmLink]):
    """on_packet    told of each packet of any link that came whole
    ring_bytes   of one direction: the same in all nodes of a cluster
    """

    def __init__(
        self,
        node_name: str,
        secret: bytes,
        outbox_bytes: int,
        on_lost: Callable[[str, str], None],
        on_packet: Callable[[ShmLink, Buffer], None],
        ring_bytes: int,
    ) -> None:
        super().__init__(node_name, secret, outbox_bytes, on_lost)
        self._on_packet = on_packet
        self._ring_bytes = ring_bytes

    def _make(self, node: str, address: str, outbox_bytes: int) -> ShmLink:
        return ShmLink(node, address, outbox_bytes, self._on_packet)

    def _way_in(self) -> bytes:
        return b"two rings of %d bytes" % self._ring_bytes

    def _check(self, peer: Introduction) -> None:
        if peer.worker != self._way_in():
            raise HandshakeError(
                f"node {peer.node!r} has {peer.worker[:80]!r}: node {self.node_name!r} has "
                f"{self._way_in()!r}"
            )

    def _ask(self) -> Shared:
        return shm_memory.make(self._ring_bytes)

    def _go(self, stream: asyncio.StreamWriter, made: Shared) -> None:
        shm_memory.hand_over(stream, made)

    async def _wait_for_go(
        self, reader: asyncio.StreamReader, stream: asyncio.StreamWriter, welcome: OnWelcome
    ) -> Shared:
        # Files that come while a stream of asyncio's reads are lost. The dialler says nothing more
        # before it is welcome, so from here on all that comes is for `receive`.
        transport: Any = stream.transport  # of both ways, whatever its stub says
        transport.pause_reading()
        welcome()
        shared = await shm_memory.receive(stream, self._ring_bytes)
        transport.resume_reading()
        return shared

    def _open(
        self,
        link: ShmLink,
        peer: Introduction,
        stream: asyncio.StreamWriter,
        made: Shared,
    ) -> None:
        link.open(self._ring_bytes, made, stream, lambda reason: self.lose(link, reason))

    def _release(self, made: Shared | None) -> None:
        if made is not None:
            made.close()
