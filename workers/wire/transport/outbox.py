"""Frames on their way to one peer: bounded by bytes, emptied by one writer, in order of `put`."""

import asyncio
from collections import deque

from workers.errors import PeerDead
from workers.wire.transport.packet import pack

# One write takes small frames up to this: half of HTTP/2's default window, so that a packet seldom
# waits for credit.
PACKET_BYTES = 32 * 1024


class Outbox:
    """A queue that is full at `limit_bytes`; one frame may overshoot it, so any frame fits.

    Senders that find it full wait in the order in which they came. After `end` all of them, and all
    later ones, get PeerDead.
    """

    def __init__(self, node: str, limit_bytes: int) -> None:
        self._node = node
        self._limit_bytes = limit_bytes
        self._frames: deque[bytes] = deque()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._turn: asyncio.Future[None] | None = (
            None  # of the sender that was woken and has not run yet
        )
        # The writer's, while it has nothing to write.
        self._wake: asyncio.Future[None] | None = None
        self._writing_bytes = 0
        self._idle: list[asyncio.Future[None]] = []
        self.num_bytes = 0  # queued, without what is being written
        self.ended = ""  # why, once it is

    def full(self) -> bool:
        return self.num_bytes >= self._limit_bytes

    def must_wait(self) -> bool:
        """Whether `put` would be out of turn. Raises PeerDead after the end."""
        if self.ended:
            raise PeerDead(f"node {self._node!r} is gone: {self.ended}", node=self._node)
        return self.full() or bool(self._waiting) or self._turn is not None

    async def room(self) -> None:
        """Return in turn, once it is not full; `put` then, before anything is awaited.

        Raises PeerDead at the end.
        """
        if not self.must_wait():
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if self._turn is turn:  # it was ours, and is the next one's now
                self._turn = None
                self._give_turn()
            elif turn in self._waiting:
                self._waiting.remove(turn)
            raise
        self._turn = None
        if self.ended:
            self.must_wait()

    def put(self, frame: bytes) -> None:
        self._frames.append(frame)
        self.num_bytes += len(frame)
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
        self._give_turn()

    async def take(self) -> bytes:
        """The next packet, once there is one; what was taken before counts as written."""
        while (packet := self.take_now()) is None:
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        return packet

    def take_now(self) -> bytes | None:
        """The same for a writer that is called when it can write: None while there is none."""
        self._writing_bytes = 0
        if not self._frames:
            for idle in self._idle:
                if not idle.done():
                    idle.set_result(None)
            self._idle.clear()
            return None
        taken = [self._frames.popleft()]
        size = len(taken[0])
        while self._frames and size + len(self._frames[0]) <= PACKET_BYTES:
            taken.append(self._frames.popleft())
            size += len(taken[-1])
        self.num_bytes -= size
        self._writing_bytes = size
        self._give_turn()
        return pack(taken)

    async def flushed(self) -> None:
        """Return once all that was put is written, or it ended."""
        if (self._frames or self._writing_bytes) and not self.ended:
            idle: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idle.append(idle)
            await idle

    def end(self, reason: str) -> bool:
        """Drop what is queued; returns whether anything was."""
        if self.ended:
            return False
        self.ended = reason
        dropped = bool(self._frames or self._writing_bytes)
        self._frames.clear()
        self.num_bytes = 0
        for future in (*self._waiting, *self._idle):
            if not future.done():
                future.set_result(None)
        self._waiting.clear()
        self._idle.clear()
        return dropped

    def _give_turn(self) -> None:
        """Wake the first who waits: its `put` wakes the next."""
        if self._waiting and self._turn is None and not self.full():
            self._turn = self._waiting.popleft()
            if self._turn.done():  # cancelled, and has not run since
                self._turn = None
                self._give_turn()
            else:
                self._turn.set_result(None)
