"""Two bare nodes, each in a process of its own, on any wire between processes: `a` here says
numbers, `b` there notes when each of them is delivered to its worker.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from time import monotonic_ns
from typing import Annotated, Any

from benchmarks.wires.round_trip import transport
from cluster.faults.standing import StandingFaults
from configs.schema import load_scenario
from configs.schema.nodes import NodeGroup
from workers.host.clock.live import LiveClock
from workers.host.clock.origin import Origin
from workers.host.disk import MemoryDisk
from workers.host.rng import Rng
from workers.host.trace import Trace
from workers.model.numerics import EXACT_NUMERICS
from workers.node import Node
from workers.wire.kind import Kind, kind
from workers.wire.mail import Frames, Mail
from workers.wire.membership import Member, Membership
from workers.wire.message import Message
from workers.wire.roles import plain

DIRECTORY = {"a": "a", "b": "b"}
SEED = 11
# As `round_trip` calls those that stay on this machine.
WIRES = {"grpc": "grpc_unix", "ucx": "ucx_shared", "shm": "shm"}


@kind("number")
@dataclass(frozen=True, slots=True)
class Number(Kind[Any]):
    """One of those that `a` says."""

    number: Annotated[int, plain()]


@dataclass(frozen=True, slots=True)
class Talk:
    """What `a` has. `arrived_ns` is asked once: then `b` ends."""

    origin: Origin
    node: Node
    faults: StandingFaults
    child: asyncio.subprocess.Process

    async def say(self, number: int) -> int:
        """Send it; returns the emulated moment of that, on the monotonic clock."""
        sent_ns = self.origin.monotonic_ns + self.node.clock.now()
        await self.node.port("a").send("b", Number(number))
        return sent_ns

    async def arrived_ns(self, count: int) -> dict[int, int]:
        """Number -> when it came, once so many are there."""
        assert self.child.stdin is not None and self.child.stdout is not None
        self.child.stdin.write(b"%d\n" % count)
        told = json.loads(await self.child.stdout.readline())
        return {int(number): at_ns for number, at_ns in told.items()}


def _made(name: str, wire: str, origin: Origin) -> tuple[Node, Mail]:
    """A node of the demo's fastest link, at dilation 1. Its tasks' errors end the process."""
    group: NodeGroup = load_scenario("demo").cluster.nodes["router"]
    mail = Mail(transport(WIRES[wire], name, ""), Frames())

    def failed(task: str, error: BaseException) -> None:
        raise RuntimeError(f"task {task} of node {name}") from error

    node = Node(
        name,
        epoch=1,
        clock=LiveClock(origin.monotonic_ns, 1.0),
        device=group.device,
        link=group.link,
        mail=mail,
        members=Membership(DIRECTORY),
        disk=MemoryDisk(),
        rng=Rng(SEED),
        trace=Trace(),
        on_failure=failed,
        numerics=EXACT_NUMERICS,
    )
    return node, mail


async def _listen(node: Node, mail: Mail) -> str:
    return await mail.start(node.endpoint.receive, node.endpoint.peer_died)


async def _meet(node: Node, mail: Mail, other: str, address: str) -> None:
    await mail.connect({other: address})
    node.members.join(Member(other, 1, node.endpoint.link, address))


@asynccontextmanager
async def talking(wire: str) -> AsyncIterator[Talk]:
    """Both nodes, connected; ends the process with the block."""
    origin = Origin.now()
    program = "from benchmarks.wires.two_nodes import hear; hear()"
    command = (sys.executable, "-c", program, wire, json.dumps(asdict(origin)))
    pipe = subprocess.PIPE
    limit = 1 << 26  # a line of all times
    child = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, limit=limit)
    assert child.stdin is not None and child.stdout is not None
    node, mail = _made("a", wire, origin)
    try:
        address = await _listen(node, mail)
        its = (await child.stdout.readline()).decode().strip()
        child.stdin.write(f"{address}\n".encode())
        await _meet(node, mail, "b", its)
        await child.stdout.readline()  # it has met us too
        yield Talk(origin, node, StandingFaults(node.endpoint, DIRECTORY, Rng(SEED)), child)
    finally:
        await mail.close()
        await node.crash()
        child.stdin.close()
        await child.wait()


async def _hear(wire: str, origin: Origin) -> None:
    """The other process: an address, a line once it has met `a`, and all times at the end."""
    loop = asyncio.get_running_loop()
    node, mail = _made("b", wire, origin)
    came, changed = dict[int, int](), asyncio.Event()

    def heard(message: Message[Number]) -> None:
        came[message.content.number] = monotonic_ns()
        changed.set()

    node.port("b").on(Number, heard)
    print(await _listen(node, mail), flush=True)
    address = await loop.run_in_executor(None, sys.stdin.readline)
    await _meet(node, mail, "a", address.strip())
    print("met", flush=True)
    if count := await loop.run_in_executor(None, sys.stdin.readline):
        while len(came) < int(count):
            changed.clear()
            await changed.wait()
        print(json.dumps(came), flush=True)
        await loop.run_in_executor(None, sys.stdin.read)  # until `a` has gone
    await mail.close()
    await node.crash()


def hear() -> None:
    """The other process's own."""
    wire, origin = sys.argv[1:]
    asyncio.run(_hear(wire, Origin(**json.loads(origin))))
