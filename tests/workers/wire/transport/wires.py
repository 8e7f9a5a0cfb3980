"""The wires under test, each with the same handle: start nodes, crash one, look at its queue."""

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import pytest

from kernels.ring import hindrance
from tests.certificates import cluster_folder
from tests.workers.wire.transport.making import in_folder, make_wire
from workers.wire.mail import Frames, Handover, Mail, WholeFrames
from workers.wire.message import Message
from workers.wire.transport.memory import MemoryNetwork, MemoryTransport

NEEDS_UCX = pytest.mark.skipif(
    find_spec("ucxx") is None, reason="needs the extra ucx: pip install 'perfuse[ucx]'"
)
NEEDS_SHM = pytest.mark.skipif(bool(hindrance()), reason=hindrance())
# Wires between processes, by how they are reached.
TCP: tuple[Any, ...] = (
    "grpc_tcp",
    "grpc_tls",
    pytest.param("ucx_tcp", marks=NEEDS_UCX),
    pytest.param("ucx_apart", marks=NEEDS_UCX),  # as between two machines: no shared memory
)
UNIX: tuple[Any, ...] = (
    "grpc_unix",
    pytest.param("ucx_unix", marks=NEEDS_UCX),
    pytest.param("shm", marks=NEEDS_SHM),
)
DOORS: tuple[Any, ...] = tuple(kind for kind in (*TCP, *UNIX) if not isinstance(kind, str))
SMALL = pytest.param("shm_small", marks=NEEDS_SHM)  # its ring holds less than most messages
FRAMED: tuple[Any, ...] = (*TCP, *UNIX, SMALL)
KINDS: tuple[Any, ...] = ("memory", "memory_through_frames", *FRAMED)
OUTBOX_BYTES = 256 * 1024
TIMEOUT_S = 30.0  # a hang fails by this; nothing here waits for it

# A node in a process of its own, that answers every message with an equal one, until it is killed.
ECHO = """
import asyncio
import tests.workers.wire.parcel, sys
from dataclasses import replace
from pathlib import Path
from tests.certificates import cluster_folder
from tests.workers.wire.transport.making import in_folder, make_wire
from workers.wire.mail import Frames, Mail

async def main():
    name, kind, folder, certificates = sys.argv[1:]
    wire = make_wire(kind, name, certificates=Path(certificates), **in_folder(folder))
    mail = Mail(wire, Frames())
    waiting = []
    def on_message(message):
        if (turn := mail.send(message.source, replace(message))) is not None:
            waiting.append(asyncio.ensure_future(turn))
    print(await mail.start(on_message, lambda node, reason: None), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await mail.close()

asyncio.run(main())
"""


def ids(messages: list[Message[Any]]) -> list[int]:
    return [message.message_id for message in messages]


@dataclass
class Node:
    """A transport and what it reported."""

    name: str
    mail: Mail
    address: str = ""
    inbox: list[Message[Any]] = field(default_factory=list)
    deaths: list[str] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def on_message(self, message: Message[Any]) -> None:
        self.inbox.append(message)
        self.changed.set()

    def on_peer_dead(self, node: str, reason: str) -> None:
        assert reason
        self.deaths.append(node)
        self.changed.set()

    async def send(self, node: str, message: Message[Any]) -> None:
        if (turn := self.mail.send(node, message)) is not None:
            await turn

    async def received(self, number: int) -> list[Message[Any]]:
        while len(self.inbox) < number:
            self.changed.clear()
            await self.changed.wait()
        return self.inbox

    async def heard_of_deaths(self, number: int) -> list[str]:
        while len(self.deaths) < number:
            self.changed.clear()
            await self.changed.wait()
        return self.deaths


class Wires:
    """All nodes of one test; `async with` closes what is left."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.network = MemoryNetwork()
        self.nodes: list[Node] = []
        self.folder = tempfile.TemporaryDirectory()  # of sockets that a crash leaves behind
        self.process: subprocess.Popen[str] | None = None

    async def __aenter__(self) -> "Wires":
        return self

    async def __aexit__(self, *_: object) -> None:
        for node in self.nodes:
            await node.mail.close()
        if self.process is not None:
            assert self.process.stdin is not None and self.process.stdout is not None
            self.process.stdin.close()
            self.process.stdout.close()
            self.process.wait()
        self.folder.cleanup()

    def mail(self, name: str) -> Mail:
        if self.kind.startswith("memory"):
            codec = WholeFrames() if "frames" in self.kind else Handover()
            return Mail(MemoryTransport(self.network, name), codec)
        return Mail(self.wire(name, outbox_bytes=OUTBOX_BYTES), Frames())

    def wire(self, name: str, **options: Any) -> Any:
        """One more of their transports, that nobody has started."""
        folder = in_folder(self.folder.name)
        return make_wire(self.kind, name, certificates=cluster_folder(), **{**folder, **options})

    async def start(self, *names: str) -> list[Node]:
        started = []
        for name in names:
            node = Node(name, self.mail(name))
            node.address = await node.mail.start(node.on_message, node.on_peer_dead)
            self.nodes.append(node)
            started.append(node)
        return started

    async def connected(self, *names: str) -> list[Node]:
        """Start nodes; all connect to all at once, so that their dials cross."""
        nodes = await self.start(*names)
        addresses = {node.name: node.address for node in nodes}
        await asyncio.gather(*(node.mail.connect(addresses) for node in nodes))
        return nodes

    async def start_mortal(self, name: str) -> str:
        """Start a node that `crash` can end as a crash does; returns its address.

        It echoes where it is a process.
        """
        if self.kind.startswith("memory"):
            return (await self.start(name))[0].address
        self.process = subprocess.Popen(
            [sys.executable, "-c", ECHO, name, self.kind, self.folder.name, str(cluster_folder())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        return (await asyncio.to_thread(self.process.stdout.readline)).strip()

    def crash(self, name: str) -> None:
        if self.process is not None:
            self.process.kill()
        else:
            self.network.kill(name)


def queued_bytes(node: Node, peer: str) -> int:
    """What waits in the sender; nothing ever does in memory."""
    wire: Any = node.mail.transport
    return 0 if isinstance(wire, MemoryTransport) else int(wire.queued_bytes(peer))


Scenario = Callable[[Wires], Awaitable[None]]
Run = Callable[[Scenario], None]
