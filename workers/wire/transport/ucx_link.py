"""One peer over UCX: what waits to be sent to it, the way there, and the stream that says it lives.

Frames cross by UCX. The stream on which both have introduced themselves stays open, silent: it ends
at the moment at which the peer's process does, which UCX alone would notice late or never. Who
closes says on it how many packets it has sent, so that the other waits for the last of them.
"""

import asyncio
import struct
from collections.abc import Callable
from typing import Any

from workers.wire.transport.handshake import Introduction
from workers.wire.transport.outbox import Outbox
from workers.wire.transport.ucx_library import tag_of
from workers.wire.transport.ucx_worker import UcxError, UcxWorker

BYE = struct.Struct("<4sQ")  # a word, and the number of packets that were sent
_WORD = b"BYE\n"

OnLost = Callable[[str], None]


class UcxLink:
    """Starts without a way: `open` gives it one, `end` takes it for good.

    tag       of what the peer sends to us: nobody else knows it
    settled   it has a way, or never will
    gone      it is lost
    arrived   set whenever a packet came
    """

    def __init__(self, node: str, address: str, outbox_bytes: int, worker: UcxWorker) -> None:
        self.node, self.address, self.tag = node, address, b""
        self.outbox = Outbox(node, outbox_bytes)
        self.settled, self.gone, self.arrived = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []
        self.trusted = False  # the peer has proved itself: what has our tag is its
        self.num_received = 0
        self._num_sent = 0
        self._worker = worker
        self._way: Any = None
        self._tag: Any = None
        self._stream: asyncio.StreamWriter | None = None
        self._is_writing = False
        self._on_lost: OnLost = lambda reason: None

    @property
    def up(self) -> bool:
        return self._way is not None and not self.outbox.ended

    def open(self, peer: Introduction, stream: asyncio.StreamWriter, on_lost: OnLost) -> None:
        """Begin to send. Raises UcxError if its worker cannot be reached."""
        self._way = self._worker.connect(peer.worker, lambda: on_lost("its connection broke"))
        self._tag, self._stream, self._on_lost = tag_of(peer.tag), stream, on_lost
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
        if self._way is None or self._is_writing or self.outbox.num_bytes:
            return False
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
        if self._way is not None:
            self._worker.disconnect(self._way)
            self._way = None
        if self._stream is not None:
            self._stream.close()
        current = asyncio.current_task()
        for task in self.tasks:
            if task is not current:
                task.cancel()
        return dropped

    def _pump(self) -> None:
        """Send what is queued until UCX is full or nothing is left."""
        while self._way is not None and not self._is_writing:
            packet = self.outbox.take_now()
            if packet is None:
                return
            self._write(packet)

    def _write(self, packet: bytes) -> None:
        self._num_sent += 1
        try:
            self._is_writing = not self._worker.send(self._way, self._tag, packet, self._written)
        except UcxError as error:
            self._on_lost(str(error))

    def _written(self, problem: str) -> None:
        self._is_writing = False
        if problem:
            self._on_lost(problem)
        else:
            self._pump()
