"""The one interface of all wires; `tests/workers/wire/transport/test_contract.py` holds for all."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

Buffer = bytes | bytearray | memoryview
# What a wire moves and never looks into: the parts of a frame on their way out and one buffer on
# their way in, or, within one process, the thing itself.
Payload = Any
OnPayload = Callable[[Payload], None]
OnPeerDead = Callable[[str, str], None]


class Transport(Protocol):
    """Moves payloads between nodes: reliably, in order per pair of nodes, until a peer dies.

    It knows nothing of messages, emulated time, epochs, retries or credits: those are the mail's
    and the endpoint's. `on_payload` is called in the event loop for each payload that arrives and
    must not block; `on_peer_dead(node, reason)` once for each peer that is lost after it was
    connected.
    """

    async def start(self, on_payload: OnPayload, on_peer_dead: OnPeerDead) -> str:
        """Begin to receive; returns the address that peers use to reach this node."""
        ...

    async def connect(self, addresses: Mapping[str, str]) -> None:
        """Learn the peers' addresses (node name -> address).

        A changed address replaces the old connection.
        """
        ...

    def send(self, node: str, payload: Payload) -> Awaitable[None] | None:
        """Hand one payload to the wire. None: done. Else await it: the wire's bounded buffer is
        full, and it waits for its turn.

        Raises PeerDead if the peer is unknown or gone, now or when awaited. Being done does not
        mean that the payload was received.
        """
        ...

    async def close(self) -> None:
        """Stop: drops what is in flight, closes connections, frees all; safe to call twice."""
        ...
