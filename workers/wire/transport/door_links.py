"""The links of one node with a door: how they begin, with a dial or a knock."""

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from workers.wire.transport import handshake
from workers.wire.transport.door import ENDS, knock
from workers.wire.transport.door_link import BYE, DoorLink
from workers.wire.transport.handshake import Crossed, HandshakeError, Introduction
from workers.wire.transport.limits import CONNECT_TIMEOUT_S, FLUSH_TIMEOUT_S
from workers.wire.transport.links import Links

TAG_BYTES = 8

D = TypeVar("D", bound=DoorLink)
OnWelcome = Callable[[], None]


class DoorLinks(Links[D]):
    """What a wire does in its own way: how its links are made and opened, what it says of itself,
    and what goes over the stream besides the handshake.
    """

    def __init__(
        self,
        node_name: str,
        secret: bytes,
        outbox_bytes: int,
        on_lost: Callable[[str, str], None],
    ) -> None:
        super().__init__(node_name, outbox_bytes, on_lost)
        self._secret = secret

    # -- each wire's own ---------------------------------------------------------------------------

    def _way_in(self) -> bytes:
        """What a peer has to know of this node, besides its name, address and tag."""
        raise NotImplementedError

    def _check(self, peer: Introduction) -> None:
        """Raises HandshakeError if what it says of itself cannot be."""

    def _ask(self) -> Any:
        """What a dialler makes for a link. Raises OSError where it cannot be had."""

    def _go(self, stream: asyncio.StreamWriter, made: Any) -> None:
        """The dialler's last word: from here on the acceptor may send."""
        stream.write(handshake.GO)

    async def _wait_for_go(
        self, reader: asyncio.StreamReader, stream: asyncio.StreamWriter, welcome: OnWelcome
    ) -> Any:
        """Welcome the dialler, and wait for that word; returns what came with it."""
        welcome()
        await reader.readexactly(len(handshake.GO))

    def _open(self, link: D, peer: Introduction, stream: asyncio.StreamWriter, made: Any) -> None:
        """Give a link its way. Raises OSError where that cannot be had."""
        raise NotImplementedError

    def _release(self, made: Any) -> None:
        """Close what was made or came: the link has its own, or is lost."""

    def _tagged(self, link: D, tag: bytes) -> None:
        """A link has another tag than before."""
        link.tag = tag

    # -- dials and knocks --------------------------------------------------------------------------

    async def _dial(self, link: D) -> None:
        """Knock, introduce this node, and open the link, or lose it."""
        stream: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                reader, stream = await knock(link.address)
                ours = self._introduction(link.tag)
                peer = await handshake.dial(reader, stream, self._secret, ours)
            if peer.node != link.node:
                self.lose(link, f"{link.address!r} is the address of node {peer.node!r}")
                return
            self.dials.heard(peer.node, peer.dial)
            if not link.settled.is_set():  # the peer's dial did not come first
                self._check(peer)
                made = self._ask()
                try:
                    self._begin(link, peer, reader, stream, made)
                    self._go(stream, made)
                finally:
                    self._release(made)
        except Crossed:
            await self._other_dial(link)
        except TimeoutError:
            self.lose(link, f"no answer from {link.address!r} within {CONNECT_TIMEOUT_S} s")
        except HandshakeError as error:
            self.lose(link, str(error))
        except ENDS as error:
            self.lose(link, f"{link.address!r}: {type(error).__name__}: {error}")
        finally:
            if stream is not None and not link.holds(stream):
                stream.close()

    async def _other_dial(self, link: D) -> None:
        """Wait for the peer's own dial, which stands."""
        try:
            await asyncio.wait_for(link.settled.wait(), CONNECT_TIMEOUT_S)
        except TimeoutError:
            self.lose(link, f"it said that it dials, and did not within {CONNECT_TIMEOUT_S} s")

    async def accept(self, reader: asyncio.StreamReader, stream: asyncio.StreamWriter) -> bool:
        """Hear out whoever knocked; returns whether the stream is a link's from now on.

        Raises HandshakeError for one that is none of us, OSError and IncompleteReadError where the
        stream ends.
        """
        peer, welcome = await handshake.hear(reader, stream, self._secret)
        self._check(peer)
        link = self._admit(peer)
        if link is None:
            handshake.cross(stream)
            return False
        tag, made = link.tag, None
        try:
            made = await self._wait_for_go(reader, stream, lambda: welcome(self._introduction(tag)))
            if link.tag == tag and not link.settled.is_set():
                self._begin(link, peer, reader, stream, made)
        finally:
            if link.tag == tag and not link.settled.is_set():
                self.lose(link, "it went away while it introduced itself")
            self._release(made)
        return link.holds(stream)

    def _admit(self, peer: Introduction) -> D | None:
        """The link for who dialled; None where this node's own stands."""
        if self.closed or peer.node == self.node_name:
            raise HandshakeError(f"node {self.node_name!r} takes no link from {peer.node!r}")
        link = self.admit(peer.node, peer.address, peer.dial)
        if link is not None:
            # Another tag than the one that our own dial may have told to somebody else.
            self._tagged(link, secrets.token_bytes(TAG_BYTES))
            link.trusted = True
        return link

    def _introduction(self, tag: bytes) -> Introduction:
        told = self.dials.told()
        return Introduction(self.node_name, self.address, tag, self._way_in(), told)

    def _new(self, node: str, address: str) -> D:
        link = super()._new(node, address)
        self._tagged(link, secrets.token_bytes(TAG_BYTES))
        return link

    def _begin(
        self,
        link: D,
        peer: Introduction,
        reader: asyncio.StreamReader,
        stream: asyncio.StreamWriter,
        made: Any,
    ) -> None:
        link.trusted = True
        self._open(link, peer, stream, made)
        link.tasks.append(asyncio.create_task(self._watch(link, reader)))

    async def _watch(self, link: D, reader: asyncio.StreamReader) -> None:
        """Notice the peer's end, in order or not."""
        reason = "its connection broke"
        with suppress(*ENDS):  # a TimeoutError as well: what it sent last is not coming
            said = await reader.readexactly(BYE.size)
            whole = await asyncio.wait_for(link.finish(said), FLUSH_TIMEOUT_S)
            reason = f"node {link.node!r} closed" if whole else "it sent garbage"
        self.lose(link, reason)
