"""What the wires with doors have in common, besides what all have (`linked`).

Each node has a door, a socket of its own. Whoever is told of a peer first knocks: on that stream
both prove that they know the cluster's secret and say how they are reached (`handshake`); nothing
else is read from anybody before. From then on frames cross by a faster way, and the stream stays
open, so that a peer's death shows at once (`door_links`, `door_link`).

    dialler                                            acceptor
    handshake                              <->         knows no such secret: says so, closes
                                                       has or dials a link, has the smaller name:
                                                       CROSSED (of crossing dials one stands)
    frames, by the way                     <->         frames, by the way
    BYE, after a flush                      ->         has all that was sent, closes

A link never comes back: when it breaks, the peer is dead until `connect` names it again or it
dials us.
"""

from workers.errors import CorruptMessage
from workers.wire.transport.base import Buffer
from workers.wire.transport.door import Door
from workers.wire.transport.door_links import D, DoorLinks
from workers.wire.transport.linked import LinkedTransport


class DoorTransport(LinkedTransport[D]):
    """One node's door and links; belongs to the event loop that starts it."""

    _links: DoorLinks[D]
    _door: Door

    async def _listen(self) -> str:
        self._begin()
        try:
            return await self._door.open()
        except OSError as error:
            raise OSError(f"node {self.node_name!r} {error}") from error

    async def _shut(self) -> None:
        await self._door.close()
        self._end()

    def _begin(self) -> None:
        """Make what all links need."""

    def _end(self) -> None:
        """Let go of it; safe to call twice, and without `_begin`."""

    @property
    def num_refused(self) -> int:
        """Streams at this node's door that were none of the cluster's, so far."""
        return self._door.num_refused

    @property
    def last_refusal(self) -> str:
        """Why the last of them was refused."""
        return self._door.last_refusal

    def _received(self, link: D, packet: Buffer) -> None:
        """A packet of a link has come whole."""
        link.received()
        try:
            self._arrived(packet)
        except CorruptMessage as error:
            self._links.lose(link, str(error))
