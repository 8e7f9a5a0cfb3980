"""The links of one node, by peer: how they begin, which of two dials stands, how they are lost."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from workers.wire.transport.dials import Dials
from workers.wire.transport.link import Link

L = TypeVar("L", bound=Link)


class Links(Generic[L]):
    """At most one for each peer, by name; dead ones too, for their reason.

    address   where this node listens
    on_lost   told of each peer that is lost after it was connected, or with messages for it
    """

    def __init__(
        self, node_name: str, outbox_bytes: int, on_lost: Callable[[str, str], None]
    ) -> None:
        self.node_name = node_name
        self.address = ""
        self.by_name: dict[str, L] = {}
        self.closed = False
        self.dials = Dials()
        self._outbox_bytes = outbox_bytes
        self._on_lost = on_lost

    def begin(self, node: str, address: str) -> L:
        """Dial an address; `settled` says when that has led to something."""
        self.dials.begin()
        link = self._new(node, address)
        link.tasks.append(asyncio.create_task(self._dial(link)))
        return link

    def admit(self, node: str, address: str, told: bytes) -> L | None:
        """The link for who dialled from that address, and told that of its dial (`Dials`); None
        where this node's own dial stands, or a later one of the peer's was heard.
        """
        if self.dials.is_late(node, told):
            return None
        link = self.by_name.get(node)
        if link is not None and not link.outbox.ended:
            same = link.address == address
            if same and self.node_name < node:
                return None  # nor is it heard: whoever answers this node's dial tells what counts
            if not same or link.up:
                self.lose(link, f"it dialled again, from {address!r}")
        self.dials.heard(node, told)
        if link is None or link.outbox.ended:
            link = self._new(node, address)
        return link

    def lose(self, link: L, reason: str, *, report: bool = True) -> None:
        """End a link for good; reports it if it was connected, or if messages are lost with it."""
        if link.outbox.ended:
            return
        was_up = link.up
        self._forget(link)
        dropped = link.end(reason)
        if report and not self.closed and (was_up or dropped):
            self._on_lost(link.node, reason)

    def _new(self, node: str, address: str) -> L:
        link = self.by_name[node] = self._make(node, address, self._outbox_bytes)
        return link

    # -- each wire's own ---------------------------------------------------------------------------

    def _make(self, node: str, address: str, outbox_bytes: int) -> L:
        """A new link, without a way."""
        raise NotImplementedError

    async def _dial(self, link: L) -> None:
        """Give a link a way to its address, or lose it."""
        raise NotImplementedError

    def _forget(self, link: L) -> None:
        """Nothing that comes for a link counts any more."""
