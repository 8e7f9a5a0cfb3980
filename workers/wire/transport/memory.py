"""The wire of the virtual world: payloads are handed over in memory, within one event loop.

A payload arrives inside `send`: the endpoint orders what arrives by emulated time, so a queue or a
task here would only add an order of its own.
"""

from collections.abc import Mapping

from workers.errors import PeerDead
from workers.wire.transport.base import OnPayload, OnPeerDead, Payload

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
    """One node's end of a MemoryNetwork. `on_payload` runs within the sender's `send`."""

    def __init__(self, network: MemoryNetwork, node_name: str) -> None:
        self.node_name = node_name
        self._network = network
        self._address = GONE  # before start and after the end
        self._peers: dict[str, str] = {}  # node name -> address
        self._on_payload: OnPayload | None = None
        self._on_peer_dead: OnPeerDead | None = None

    async def start(self, on_payload: OnPayload, on_peer_dead: OnPeerDead) -> str:
        """Begin to receive. Raises ValueError if a node of this name is already started."""
        self._address = self._network.add(self)
        self._on_payload, self._on_peer_dead = on_payload, on_peer_dead
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

    def send(self, node: str, payload: Payload) -> None:
        """Hand it over now. Raises PeerDead if the peer is unknown or gone, or we are."""
        self.way(node)(payload)

    def way(self, node: str) -> OnPayload:
        """What `send` to that node calls, as long as neither it nor we are gone."""
        receiver = self._receiver(node)
        assert receiver._on_payload is not None, "a started transport has its handlers"
        return receiver._on_payload

    def _receiver(self, node: str) -> "MemoryTransport":
        if not self._address:
            raise PeerDead(f"node {self.node_name!r} is not running: it cannot send to {node!r}")
        address = self._peers.get(node)
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
