"""The links of one node: how they begin, with a dial or a knock, and how they end."""

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress

from workers.wire.transport import handshake
from workers.wire.transport.handshake import Crossed, HandshakeError, Introduction
from workers.wire.transport.limits import CONNECT_TIMEOUT_S, FLUSH_TIMEOUT_S, MESSAGE_BYTES_MAX
from workers.wire.transport.ucx_door import ENDS, knock
from workers.wire.transport.ucx_library import TAG_BYTES
from workers.wire.transport.ucx_link import BYE, UcxLink
from workers.wire.transport.ucx_worker import UcxWorker


class UcxLinks:
    """At most one for each peer, by name; dead ones too, for their reason.

    address   where this node listens
    worker    what moves the frames of all links; there before the first begins
    on_lost   told of each peer that is lost after it was connected, or with messages for it
    """

    def __init__(
        self,
        node_name: str,
        secret: bytes,
        outbox_bytes: int,
        on_lost: Callable[[str, str], None],
    ) -> None:
        self.node_name = node_name
        self.address = ""
        self.worker: UcxWorker | None = None
        self.by_name: dict[str, UcxLink] = {}
        self.closed = False
        self._by_tag: dict[int, UcxLink] = {}
        self._secret = secret
        self._outbox_bytes = outbox_bytes
        self._on_lost = on_lost

    def begin(self, node: str, address: str) -> UcxLink:
        """Dial an address; `settled` says when that has led to something."""
        link = self._new(node, address)
        link.tasks.append(asyncio.create_task(self._dial(link)))
        return link

    def of_tag(self, tag: int) -> UcxLink | None:
        """Whose messages have that tag: none of a link that is lost, or from who only guesses."""
        link = self._by_tag.get(tag)
        return link if link is not None and link.trusted else None

    def limit_bytes(self, tag: int) -> int:
        """How much may come at once with that tag."""
        return 0 if self.of_tag(tag) is None else MESSAGE_BYTES_MAX

    async def _dial(self, link: UcxLink) -> None:
        """Knock, introduce this node, and open the link, or lose it."""
        stream: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                reader, stream = await knock(link.address)
                ours = self._introduction(link.tag)
                peer = await handshake.dial(reader, stream, self._secret, ours)
            if peer.node != link.node:
                self.lose(link, f"{link.address!r} is the address of node {peer.node!r}")
            elif not link.settled.is_set():  # the peer's dial did not come first
                self._open(link, peer, reader, stream)
                stream.write(handshake.GO)
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

    async def _other_dial(self, link: UcxLink) -> None:
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
        link = self._admit(peer)
        if link is None:
            handshake.cross(stream)
            return False
        tag = link.tag
        welcome(self._introduction(tag))
        try:
            await reader.readexactly(len(handshake.GO))
            if link.tag == tag and not link.settled.is_set():
                self._open(link, peer, reader, stream)
        finally:
            if link.tag == tag and not link.settled.is_set():
                self.lose(link, "it went away while it introduced itself")
        return link.holds(stream)

    def _admit(self, peer: Introduction) -> UcxLink | None:
        """The link for who dialled; None where this node's own stands."""
        link = self.by_name.get(peer.node)
        if self.closed or peer.node == self.node_name:
            raise HandshakeError(f"node {self.node_name!r} takes no link from {peer.node!r}")
        if link is not None and not link.outbox.ended:
            same = link.address == peer.address
            if same and self.node_name < peer.node:
                return None
            if not same or link.up:
                self.lose(link, f"it dialled again, from {peer.address!r}")
        if link is None or link.outbox.ended:
            link = self._new(peer.node, peer.address)
        else:  # another tag than the one that our own dial may have told to somebody else
            self._by_tag.pop(_number(link.tag), None)
            link.tag = self._new_tag(link)
        link.trusted = True
        return link

    def _introduction(self, tag: bytes) -> Introduction:
        assert self.worker is not None, "links begin after start"
        return Introduction(self.node_name, self.address, tag, self.worker.address)

    def _new(self, node: str, address: str) -> UcxLink:
        assert self.worker is not None, "links begin after start"
        link = UcxLink(node, address, self._outbox_bytes, self.worker)
        link.tag = self._new_tag(link)
        self.by_name[node] = link
        return link

    def _new_tag(self, link: UcxLink) -> bytes:
        tag = secrets.token_bytes(TAG_BYTES)
        self._by_tag[_number(tag)] = link
        return tag

    def _open(
        self,
        link: UcxLink,
        peer: Introduction,
        reader: asyncio.StreamReader,
        stream: asyncio.StreamWriter,
    ) -> None:
        link.trusted = True
        link.open(peer, stream, lambda reason: self.lose(link, reason))
        link.tasks.append(asyncio.create_task(self._watch(link, reader)))

    async def _watch(self, link: UcxLink, reader: asyncio.StreamReader) -> None:
        """Notice the peer's end, in order or not."""
        reason = "its connection broke"
        with suppress(*ENDS):  # a TimeoutError as well: what it sent last is not coming
            said = await reader.readexactly(BYE.size)
            whole = await asyncio.wait_for(link.finish(said), FLUSH_TIMEOUT_S)
            reason = f"node {link.node!r} closed" if whole else "it sent garbage"
        self.lose(link, reason)

    def lose(self, link: UcxLink, reason: str, *, report: bool = True) -> None:
        """End a link for good; reports it if it was connected, or if messages are lost with it."""
        if link.outbox.ended:
            return
        was_up = link.up
        self._by_tag.pop(_number(link.tag), None)
        dropped = link.end(reason)
        if report and not self.closed and (was_up or dropped):
            self._on_lost(link.node, reason)


def _number(tag: bytes) -> int:
    return int.from_bytes(tag, "little")
