"""One peer on a wire with doors: what waits to be sent to it, and the stream that says it lives.

Frames cross by another way than the stream on which both have introduced themselves. That stays
open, silent: it ends at the moment at which the peer's process does. Who closes says on it how many
packets it has sent, so that the other waits for the last of them.
"""

import asyncio
import struct
from collections.abc import Awaitable, Callable

from workers.wire.transport.link import Link

BYE = struct.Struct("<4sQ")  # a word, and the number of packets that were sent
_WORD = b"BYE\n"

OnLost = Callable[[str], None]


class DoorLink(Link):
    """Starts without a way: opening gives it one.

    tag       names this link: nobody but the peer is told it
    arrived   set whenever a packet came
    trusted   the peer has proved itself: what has our tag is its
    """

    def __init__(self, node: str, address: str, outbox_bytes: int) -> None:
        super().__init__(node, address, outbox_bytes)
        self.tag = b""
        self.arrived = asyncio.Event()
        self.trusted = False
        self.num_received = 0
        self._num_sent = 0
        self._stream: asyncio.StreamWriter | None = None
        self._is_writing = False  # the way is full, and will say when it is not
        self._on_lost: OnLost = lambda reason: None

    @property
    def up(self) -> bool:
        return self._stream is not None and not self.outbox.ended

    def opened(self, stream: asyncio.StreamWriter, on_lost: OnLost) -> None:
        """It has a way: begin to send."""
        self._stream, self._on_lost = stream, on_lost
        self.settled.set()
        self._pump()

    def holds(self, stream: asyncio.StreamWriter) -> bool:
        """Whether that is the stream of this link: it closes it then."""
        return self._stream is stream

    def received(self) -> None:
        """One more packet came."""
        self.num_received += 1
        self.arrived.set()

    def send(self, frame: bytes) -> Awaitable[None] | None:
        """Past the empty outbox where nothing is before it."""
        if not self.up or self._is_writing or self.outbox.num_bytes or self.outbox.must_wait():
            return super().send(frame)
        self._num_sent += 1
        self._write(frame)
        return None

    def put(self, frame: bytes) -> None:
        super().put(frame)
        self._pump()

    async def leave(self) -> None:
        """Says how much the peer should have before it forgets us."""
        if self.up:
            await self.outbox.flushed()
        if self.up:
            assert self._stream is not None, "it is up"
            self._stream.write(BYE.pack(_WORD, self._num_sent))
            await self.gone.wait()

    async def finish(self, said: bytes) -> bool:
        """Wait for what was sent before that bye; returns False if it is none."""
        word, number = BYE.unpack(said)
        while word == _WORD and self.num_received < number:
            self.arrived.clear()
            await self.arrived.wait()
        return bool(word == _WORD)

    def end(self, reason: str) -> bool:
        dropped = super().end(reason) or self._is_writing
        self._let_go()
        if self._stream is not None:
            self._stream.close()
        return dropped

    def _pump(self) -> None:
        """Send what is queued until the way is full or nothing is left."""
        while self.up and not self._is_writing:
            packet = self.outbox.take_now()
            if packet is None:
                return
            self._num_sent += 1
            self._write(packet)

    def _written(self) -> None:
        """The way has room again."""
        self._is_writing = False
        self._pump()

    def _write(self, packet: bytes) -> None:
        """Hand a packet to the way. Where it is full sets `_is_writing`, and calls `_written` once
        it has all of it; where it is broken calls `_on_lost`.
        """
        raise NotImplementedError

    def _let_go(self) -> None:
        """Close the way, if there is one."""
        raise NotImplementedError
