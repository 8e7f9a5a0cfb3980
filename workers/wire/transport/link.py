"""One peer of a node: what waits to be sent to it, and how it ends. The same on every wire between
processes; what a way is, each wire says itself.
"""

import asyncio
from collections.abc import Awaitable

from workers.wire.transport.outbox import Outbox


class Link:
    """Starts without a way there; is given one, or not, and `end` takes it for good.

    settled   it has a way, or never will
    gone      it is lost
    tasks     what works for it, and ends with it
    """

    def __init__(self, node: str, address: str, outbox_bytes: int) -> None:
        self.node, self.address = node, address
        self.outbox = Outbox(node, outbox_bytes)
        self.settled, self.gone = asyncio.Event(), asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    @property
    def up(self) -> bool:
        """Whether it has a way."""
        raise NotImplementedError

    def send(self, frame: bytes) -> Awaitable[None] | None:
        """Queue a frame; to be awaited while the queue is full. Raises PeerDead after the end."""
        if self.outbox.must_wait():
            return self._in_turn(frame)
        self.put(frame)
        return None

    def put(self, frame: bytes) -> None:
        """Queue a frame; the outbox must have room."""
        self.outbox.put(frame)

    async def leave(self) -> None:
        """Flush, say so, and return once the peer has read that far."""
        raise NotImplementedError

    def end(self, reason: str) -> bool:
        """For good; returns whether anything was dropped."""
        dropped = self.outbox.end(reason)
        self.settled.set()
        self.gone.set()
        current = asyncio.current_task()
        for task in self.tasks:
            if task is not current:
                task.cancel()
        return dropped

    async def _in_turn(self, frame: bytes) -> None:
        await self.outbox.room()
        self.put(frame)
