"""A node in a process of its own: a plain class, made a Ray actor. Ray starts and stops it; no
token travels by Ray.

This file and `cluster/worlds` alone import ray.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import ray

from kernels import native
from workers.wire.transport.base import Transport


class Standing(Protocol):
    """What `Build` makes: a node that is ready, and answers its driver."""

    async def ask(self, question: str, *arguments: Any) -> Any: ...

    async def stop(self) -> None: ...


# Builds the node around a transport: (transport, emulated time's origin on the monotonic clock) ->
# the node.
Build = Callable[[Transport, int], Awaitable[Standing]]
MakeTransport = Callable[[], Transport]


class NodeHost:
    """The life of one node in this process: listen, stand, answer, stop."""

    def __init__(self, name: str, make_transport: MakeTransport, build: Build) -> None:
        # A frame that cannot be delivered is the peer's death, which the transport reports itself.
        logging.getLogger("grpc").setLevel(logging.ERROR)
        # One of many processes: more threads would compete where a paced run must not be late.
        native.set_num_threads(1)
        self._name, self._build = name, build
        self._transport = make_transport()
        self._receive: Callable[[Any], None] | None = None
        self._peer_died: Callable[[str, str], None] | None = None
        self._standing: Standing | None = None

    async def listen(self) -> str:
        """Begin to listen; returns the address."""
        return await self._transport.start(self._on_message, self._on_peer_dead)

    def _on_message(self, message: Any) -> None:
        assert self._receive is not None, "a peer spoke before this node stood"
        self._receive(message)

    def _on_peer_dead(self, node: str, reason: str) -> None:
        if self._peer_died is not None:
            self._peer_died(node, reason)

    def attach(self, receive: Callable[[Any], None], peer_died: Callable[[str, str], None]) -> None:
        """The built node's ear."""
        self._receive, self._peer_died = receive, peer_died

    async def build(self, origin_ns: int) -> None:
        """Load what the node's workers need. No message arrives before `connect`."""
        standing = await self._build(self._transport, origin_ns)
        self._standing = standing
        endpoint = standing.endpoint  # type: ignore[attr-defined]
        self.attach(endpoint.receive, endpoint.peer_died)

    async def connect(self, addresses: Mapping[str, str]) -> None:
        await self._transport.connect(addresses)

    async def ask(self, question: str, *arguments: Any) -> Any:
        """One of the node's own questions; PerfuseError travels back as it is."""
        assert self._standing is not None, f"{self._name} does not stand yet"
        return await self._standing.ask(question, *arguments)

    async def stop(self) -> None:
        if self._standing is not None:
            await self._standing.stop()
        await self._transport.close()


def host_actor(name: str, make_transport: MakeTransport, build: Build) -> Any:
    """Start a NodeHost as a Ray actor; returns its handle. It reserves no cores: emulated ones
    are not Ray's.
    """
    actor_class = ray.remote(NodeHost)
    return actor_class.options(name=name, num_cpus=0, max_restarts=0).remote(
        name, make_transport, build
    )
