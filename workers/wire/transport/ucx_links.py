"""The links of one node over UCX: what comes for any of them is told apart by its tag."""

import asyncio
from collections.abc import Callable
from typing import Any

from workers.wire.transport.door_links import DoorLinks
from workers.wire.transport.handshake import Introduction
from workers.wire.transport.limits import MESSAGE_BYTES_MAX
from workers.wire.transport.ucx_link import UcxLink
from workers.wire.transport.ucx_worker import UcxWorker


class UcxLinks(DoorLinks[UcxLink]):
    """worker    what moves the frames of all links; there before the first begins"""

    def __init__(
        self,
        node_name: str,
        secret: bytes,
        outbox_bytes: int,
        on_lost: Callable[[str, str], None],
    ) -> None:
        super().__init__(node_name, secret, outbox_bytes, on_lost)
        self.worker: UcxWorker | None = None
        self._by_tag: dict[int, UcxLink] = {}

    def of_tag(self, tag: int) -> UcxLink | None:
        """Whose messages have that tag: none of a link that is lost, or from who only guesses."""
        link = self._by_tag.get(tag)
        return link if link is not None and link.trusted else None

    def limit_bytes(self, tag: int) -> int:
        """How much may come at once with that tag."""
        return 0 if self.of_tag(tag) is None else MESSAGE_BYTES_MAX

    def _make(self, node: str, address: str, outbox_bytes: int) -> UcxLink:
        assert self.worker is not None, "links begin after start"
        return UcxLink(node, address, outbox_bytes, self.worker)

    def _way_in(self) -> bytes:
        assert self.worker is not None, "links begin after start"
        return self.worker.address

    def _open(
        self, link: UcxLink, peer: Introduction, stream: asyncio.StreamWriter, made: Any
    ) -> None:
        link.open(peer, stream, lambda reason: self.lose(link, reason))

    def _tagged(self, link: UcxLink, tag: bytes) -> None:
        self._forget(link)
        super()._tagged(link, tag)
        self._by_tag[_number(tag)] = link

    def _forget(self, link: UcxLink) -> None:
        self._by_tag.pop(_number(link.tag), None)


def _number(tag: bytes) -> int:
    return int.from_bytes(tag, "little")
