"""Nodes on a wire of shared memory, for its own tests."""

import asyncio
import gc
import os
from pathlib import Path
from typing import Any

from tests.workers.wire.transport.wires import Node
from workers.wire.mail import Frames, Mail
from workers.wire.transport.shm import ShmTransport
from workers.wire.transport.shm_link import ShmLink


async def started(name: str, **options: Any) -> Node:
    node = Node(name, Mail(ShmTransport(name, **{"token": "ours", **options}), Frames()))
    node.address = await node.mail.start(node.on_message, node.on_peer_dead)
    return node


async def pair(**options: Any) -> tuple[Node, Node]:
    a, b = await started("a", **options), await started("b", **options)
    await a.mail.connect({"b": b.address})
    return a, b


async def close(*nodes: Node) -> None:
    await asyncio.gather(*(node.mail.close() for node in nodes))


def of(node: Node) -> ShmTransport:
    assert isinstance(node.mail.transport, ShmTransport)
    return node.mail.transport


def link(node: Node, peer: str) -> ShmLink:
    return of(node)._links.by_name[peer]


def files() -> list[str]:
    """Memory and bells that this process has open. What an earlier test left to be collected is
    collected first: else its end would fall between two looks.
    """
    gc.collect()
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.append(os.readlink(entry))
        except OSError:  # the folder itself, which is closed by now
            continue
    return [name for name in found if name.startswith(("/memfd:perfuse", "anon_inode:[eventfd]"))]
