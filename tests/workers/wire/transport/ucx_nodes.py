"""Nodes on a UCX wire, for its own tests. Import it only where ucxx is installed."""

import asyncio

from tests.workers.wire.transport.wires import Node
from workers.wire.mail import Frames, Mail
from workers.wire.transport.ucx import UcxTransport


async def started(name: str, transport: UcxTransport) -> Node:
    node = Node(name, Mail(transport, Frames()))
    node.address = await node.mail.start(node.on_message, node.on_peer_dead)
    return node


async def pair(token: str = "ours", **options: object) -> tuple[Node, Node]:
    a = await started("a", UcxTransport("a", token=token, **options))  # type: ignore[arg-type]
    b = await started("b", UcxTransport("b", token=token, **options))  # type: ignore[arg-type]
    await a.mail.connect({"b": b.address})
    return a, b


async def close(*nodes: Node) -> None:
    await asyncio.gather(*(node.mail.close() for node in nodes))


def of(node: Node) -> UcxTransport:
    assert isinstance(node.mail.transport, UcxTransport)
    return node.mail.transport
