"""The wire of the virtual world: messages are handed over in memory, within one event loop.

A message arrives inside `send`: the endpoint orders what arrives by emulated time, so a queue or a
task here would only add an order of its own. What the receiver gets is its own envelope, and what
it says is shared and read-only; in `through_frames` mode it is what comes out of encoding and
decoding, as on a real wire.
"""

from collections.abc import Mapping
from typing import Any

from workers.errors import CorruptMessage, PeerDead
from workers.wire.message import Message, freeze
from workers.wire.transport.base import OnMessage, OnPeerDead
from workers.wire.transport.frame import checksum, decode, encode

GONE = ""  # the address of nobody


class MemoryNetwork:
    """The nodes of one virtual world, by address. A node that starts again gets another address."""

    def __init__(self) -> None:
        self._started: dict[str, MemoryTransport] = {}  # address -> transport, in order of start
        self._num_starts: dict[str, int] = {}  # node name -> times that it started

    def kill(self, node: str) -> None:
        """The node crashes: peers hear of it at once; what they or it send now raises PeerDead."""
        for transport in [t for t in self._started.values() if t.node_name == node]:
            transport.stop(f"node {node!r} crashed")

    def add(self, transport: "MemoryTransport") -> str:
        """Register a node that starts; returns its address."""
        node = transport.node_name
        if any(t.node_name == node for t in self._started.values()):
            raise ValueError(f"node {node!r} is already started in this network: names are unique")
        self._num_starts[node] = self._num_starts.get(node, 0) + 1
        address = f"memory:{node}/{self._num_starts[node]}"
        self._started[address] = transport
        return address

    def find(self, address: str) -> "MemoryTransport | None":
        return self._started.get(address)

    def remove(self, address: str, reason: str) -> None:
        """Forget a node and tell all who were connected to it, in order of start."""
        gone = self._started.pop(address, None)
        if gone is not None:
            for transport in list(self._started.values()):
                transport.lose(gone.node_name, address, reason)


class MemoryTransport:
    """One node's end of a MemoryNetwork. `on_message` runs within the sender's `send`."""

    def __init__(
        self, network: MemoryNetwork, node_name: str, *, through_frames: bool = False
    ) -> None:
        self.node_name = node_name
        self._network = network
        self._through_frames = through_frames
        self._address = GONE  # before start and after the end
        self._peers: dict[str, str] = {}  # node name -> address
        self._on_message: OnMessage | None = None
        self._on_peer_dead: OnPeerDead | None = None
        self.num_corrupt = 0  # messages that were dropped because they do not fit their checksum

    async def start(self, on_message: OnMessage, on_peer_dead: OnPeerDead) -> str:
        """Begin to receive. Raises ValueError if a node of this name is already started."""
        self._address = self._network.add(self)
        self._on_message, self._on_peer_dead = on_message, on_peer_dead
        return self._address

    async def connect(self, addresses: Mapping[str, str]) -> None:
        """Learn the peers' addresses; one that is alive learns ours, as it would from a stream."""
        for node, address in addresses.items():
            if node == self.node_name or self._peers.get(node) == address:
                continue
            replaced = self._network.find(self._peers.get(node, GONE))
            if replaced is not None:
                replaced.lose(
                    self.node_name, self._address, f"{self.node_name!r} left for {address!r}"
                )
            self._peers[node] = address
            peer = self._network.find(address)
            if peer is not None:
                peer.accept(self.node_name, self._address)

    def accept(self, node: str, address: str) -> None:
        """A peer has connected to us."""
        self._peers[node] = address

    async def send(self, node: str, message: Message[Any]) -> None:
        """Hand the message over now. Raises PeerDead if the peer is unknown or gone, or we are."""
        receiver = self._receiver(node)
        try:
            if self._through_frames:
                delivered = decode(encode(message))
            else:
                delivered = handed_over(message)
                _verify(delivered)
        except CorruptMessage:  # one lost message, like any other that the link loses
            receiver.num_corrupt += 1
            return
        assert receiver._on_message is not None, "a started transport has its handlers"
        receiver._on_message(delivered)

    def _receiver(self, node: str) -> "MemoryTransport":
        if not self._address:
            raise PeerDead(f"node {self.node_name!r} is not running: it cannot send to {node!r}")
        address = self._address if node == self.node_name else self._peers.get(node)
        if address is None:
            raise PeerDead(
                f"node {self.node_name!r} knows no peer {node!r}: connect to it first", node=node
            )
        receiver = self._network.find(address)
        if receiver is None:
            raise PeerDead(f"node {node!r} is gone: connect to its next incarnation", node=node)
        return receiver

    def lose(self, node: str, address: str, reason: str) -> None:
        """Report a peer's end if we were connected to that incarnation; it stays gone."""
        if self._peers.get(node) == address:
            self._peers[node] = GONE
            assert self._on_peer_dead is not None, "a started transport has its handlers"
            self._on_peer_dead(node, reason)

    def stop(self, reason: str) -> None:
        """Leave the network at once, by a crash or by `close`."""
        address, self._address = self._address, GONE
        self._peers.clear()
        if address:
            self._network.remove(address, reason)

    async def close(self) -> None:
        self.stop(f"node {self.node_name!r} closed")


def handed_over(message: Message[Any]) -> Message[Any]:
    """The receiver's own envelope; what it says is shared, and read-only."""
    freeze(message.content)
    return message.again()


def _verify(message: Message[Any]) -> None:
    """A message that never leaves this process has no checksum, unless a fault was put into it."""
    if message.checksum and message.checksum != checksum(message):
        raise CorruptMessage(f"{message.kind!r} from {message.source!r} does not fit its checksum")
