"""One peer on a wire with doors: what waits to be sent to it, and the stream that says it lives.

Frames cross by another way than the stream on which both have introduced themselves. That stays
open, silent: it ends at the moment at which the peer's process does. Who closes says on it how many
packets it has sent, so that the other waits for the last of them.
"""

import asyncio
import struct
from collections.abc import Callable

from workers.wire.transport.outbox import Outbox

BYE = struct.Struct("<4sQ")  # a word, and the number of packets that were sent
_WORD = b"BYE\n"

OnLost = Callable[[str], None]


class Link:
    """Starts without a way: opening gives it one, `end` takes it for good.

    tag       names this link: nobody but the peer is told it
    settled   it has a way, or never will
    gone      it is lost
    arrived   set whenever a packet came
    trusted   the peer has proved itself: what has our tag is its
    """

    def __init__(self, node: str, address: str, outbox_bytes: int) -> None:
        self.node, self.address, self.tag = node, address, b""
        self.outbox = Outbox(node, outbox_bytes)
        self.settled, self.gone, self.arrived = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []
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

    def send_now(self, frame: bytes) -> bool:
        """Send past the empty outbox, if nothing is before it; returns whether it was sent."""
        if not self.up or self._is_writing or self.outbox.num_bytes:
            return False
        self._num_sent += 1
        self._write(frame)
        return True

    def put(self, frame: bytes) -> None:
        """Queue a frame; the outbox must have room."""
        self.outbox.put(frame)
        self._pump()

    def say_bye(self) -> None:
        """Tell the peer how much it should have before it forgets us."""
        if self._stream is not None:
            self._stream.write(BYE.pack(_WORD, self._num_sent))

    async def finish(self, said: bytes) -> bool:
        """Wait for what was sent before that bye; returns False if it is none."""
        word, number = BYE.unpack(said)
        while word == _WORD and self.num_received < number:
            self.arrived.clear()
            await self.arrived.wait()
        return bool(word == _WORD)

    def end(self, reason: str) -> bool:
        """For good; returns whether anything was dropped."""
        dropped = self.outbox.end(reason) or self._is_writing
        self.settled.set()
        self.gone.set()
        self._let_go()
        if self._stream is not None:
            self._stream.close()
        current = asyncio.current_task()
        for task in self.tasks:
            if task is not current:
                task.cancel()
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
