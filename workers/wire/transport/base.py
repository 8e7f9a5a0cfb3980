"""The one interface of all wires; `tests/workers/wire/transport/test_contract.py` holds for all."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from workers.wire.message import Message

OnMessage = Callable[[Message[Any]], None]
OnPeerDead = Callable[[str, str], None]


class Transport(Protocol):
    """Moves messages between nodes: reliably, in order per pair of nodes, until a peer dies.

    It knows nothing of emulated time, epochs, retries or credits: that is the endpoint's.
    `on_message` is called in the event loop for each message that arrives and must not block;
    `on_peer_dead(node, reason)` once for each peer that is lost after it was connected.
    """

    async def start(self, on_message: OnMessage, on_peer_dead: OnPeerDead) -> str:
        """Begin to receive; returns the address that peers use to reach this node."""
        ...

    async def connect(self, addresses: Mapping[str, str]) -> None:
        """Learn the peers' addresses (node name -> address).

        A changed address replaces the old connection.
        """
        ...

    async def send(self, node: str, message: Message[Any]) -> None:
        """Hand one message to the wire; waits while the wire's bounded buffer is full.

        Raises PeerDead if the peer is unknown or gone. Returning does not mean that the message was
        received.
        """
        ...

    async def close(self) -> None:
        """Stop: drops what is in flight, closes connections, frees all; safe to call twice."""
        ...
