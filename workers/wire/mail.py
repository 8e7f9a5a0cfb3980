"""Messages in and out of a wire: the one place where they become payloads and back.

What comes in damaged is one lost message, like any other that the link loses: it is counted.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from workers.errors import CorruptMessage
from workers.wire.message import Message, freeze
from workers.wire.transport import frame
from workers.wire.transport.base import OnPeerDead, Payload, Transport
from workers.wire.transport.memory import MemoryTransport

OnMessage = Callable[[Message[Any]], None]
Way = Callable[[Message[Any]], Awaitable[None] | None]


class Codec(Protocol):
    """How a message crosses a wire.

    shares_memory   what arrives is the very envelope that was sent
    """

    @property
    def shares_memory(self) -> bool: ...

    def pack(self, message: Message[Any]) -> Payload:
        """Raises TypeError or ValueError for what no frame can carry."""
        ...

    def unpack(self, payload: Payload) -> Message[Any]:
        """Raises CorruptMessage."""
        ...


class Frames:
    """As the parts of a frame, which a wire gathers; what arrives is viewed, not copied."""

    shares_memory = False

    def pack(self, message: Message[Any]) -> Payload:
        return frame.encode_parts(message)

    def unpack(self, payload: Payload) -> Message[Any]:
        return frame.decode(payload)


class WholeFrames(Frames):
    """The same where no wire gathers: for tests, within one process."""

    def pack(self, message: Message[Any]) -> Payload:
        return frame.encode(message)


class Handover:
    """Within one process: the message itself, which is the receiver's from then on. What it says is
    shared, and read-only.
    """

    shares_memory = True

    def pack(self, message: Message[Any]) -> Payload:
        freeze(message.content)
        return message

    def unpack(self, payload: Payload) -> Message[Any]:
        """What never left this process has no checksum, unless a fault was put into it."""
        message: Message[Any] = payload
        if message.checksum and message.checksum != frame.checksum(message):
            what = f"{message.kind!r} from {message.source!r} does not fit its checksum"
            raise CorruptMessage(what)
        return message


class Mail:
    """One node's messages on one wire."""

    def __init__(self, transport: Transport, codec: Codec) -> None:
        self.transport = transport
        self.num_corrupt = 0
        self._codec = codec
        self.shares_memory = codec.shares_memory

    async def start(self, on_message: OnMessage, on_peer_dead: OnPeerDead) -> str:
        """Begin to receive; returns the address that peers use to reach this node."""

        def arrived(payload: Payload) -> None:
            try:
                message = self._codec.unpack(payload)
            except CorruptMessage:
                self.num_corrupt += 1
                return
            on_message(message)

        def handed_over(message: Message[Any]) -> None:
            if message.checksum:
                arrived(message)
            else:
                on_message(message)

        on_payload = handed_over if self.shares_memory else arrived
        return await self.transport.start(on_payload, on_peer_dead)

    async def connect(self, addresses: Mapping[str, str]) -> None:
        """Learn the peers' addresses; see Transport."""
        await self.transport.connect(addresses)

    def send(self, node: str, message: Message[Any]) -> Awaitable[None] | None:
        """Hand one message to the wire; see Transport."""
        return self.transport.send(node, self._codec.pack(message))

    def way(self, node: str) -> Way:
        """What `send` to that node does, as long as neither it nor this one is gone."""
        transport, pack = self.transport, self._codec.pack
        if not isinstance(transport, MemoryTransport):
            return lambda message: transport.send(node, pack(message))
        take = transport.way(node)
        if not self.shares_memory:
            return lambda message: take(pack(message))

        def hand_over(message: Message[Any]) -> None:
            freeze(message.content)
            take(message)

        return hand_over

    async def close(self) -> None:
        await self.transport.close()
