"""One peer over gRPC: one stream, both ways, whoever dialled it."""

from typing import Any

from workers.wire.transport.link import Link


class GrpcLink(Link):
    """stream   gRPC's call or servicer context: both have read and write"""

    def __init__(self, node: str, address: str, outbox_bytes: int) -> None:
        super().__init__(node, address, outbox_bytes)
        self.stream: Any = None
        self._is_dialler = False

    @property
    def up(self) -> bool:
        return self.stream is not None and not self.outbox.ended

    def opened(self, stream: Any, *, is_dialler: bool) -> None:
        """It has a stream."""
        self.stream, self._is_dialler = stream, is_dialler
        self.settled.set()

    async def leave(self) -> None:
        """The dialler half-closes; an acceptor's stream ends when its method returns."""
        if self.up:
            await self.outbox.flushed()
        if self.up and self._is_dialler:
            await self.stream.done_writing()
            await self.gone.wait()
