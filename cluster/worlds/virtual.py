"""The virtual world: every node an object in this process, one event loop, no threads, exact time.

It imports no Ray, and nothing in it depends on the wall clock or on hashing: the same scenario and
seed give the same trace hash in any process.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from cluster.gateway.router_client import MessageRouterClient
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.crew import Crew
from workers.host.clock.virtual import VirtualClock, VirtualDeadlock, virtual_loop
from workers.host.disk import MemoryDisk
from workers.host.rng import Rng
from workers.host.trace import Trace
from workers.node import Node
from workers.wire.transport.memory import MemoryNetwork, MemoryTransport

T = TypeVar("T")


class WorkerFailed(RuntimeError):
    """A worker's task ended with an error nobody expected: a bug."""


class VirtualWorld:
    """A cluster that stands in this process. Use `run_virtual`.

    through_frames   encode and decode every message, as on a real wire
    """

    def __init__(self, blueprint: Blueprint, *, through_frames: bool = False) -> None:
        self.blueprint = blueprint
        self.clock = VirtualClock()
        self.trace = Trace(hashed=True)
        self.network = MemoryNetwork()
        self.nodes: dict[str, Node] = {}
        self.crews: dict[str, Crew] = {}
        self.failures: list[tuple[str, BaseException]] = []
        self._through_frames = through_frames

    async def start(self) -> None:
        """Build all nodes, connect them, bring the collections."""
        plan, addresses, transports = self.blueprint.plan, {}, {}
        for node_plan in plan.nodes:
            transport = MemoryTransport(
                self.network, node_plan.name, through_frames=self._through_frames
            )
            node = Node(
                node_plan.name,
                epoch=1,
                clock=self.clock,
                device=node_plan.device,
                link=node_plan.link,
                transport=transport,
                directory=plan.directory,
                peers=self.blueprint.peers(),
                disk=MemoryDisk(),
                rng=Rng(self.blueprint.scenario.seed),
                trace=self.trace,
                on_failure=self._failed,
                precision=self.blueprint.scenario.model.precision,
            )
            endpoint = node.endpoint
            addresses[node.name] = await transport.start(endpoint.receive, endpoint.peer_died)
            self.nodes[node.name], transports[node.name] = node, transport
        for transport in transports.values():
            await transport.connect(addresses)
        for node_plan in plan.nodes:
            self.crews[node_plan.name] = Crew(self.blueprint, node_plan, self.nodes[node_plan.name])
        await self.crews[self.blueprint.node_of("router").name].preload()

    def _failed(self, task: str, error: BaseException) -> None:
        self.failures.append((task, error))

    @property
    def gateway(self) -> Node:
        return self.nodes[self.blueprint.node_of("gateway").name]

    @property
    def client(self) -> MessageRouterClient:
        client = self.crews[self.gateway.name].client
        assert client is not None, "the gateway's crew has a client"
        return client

    async def stop(self) -> None:
        for node in self.nodes.values():
            await node.crash()
        for task, error in self.failures:
            raise WorkerFailed(f"{task}: {type(error).__name__}: {error}") from error


def run_virtual(
    blueprint: Blueprint,
    job: Callable[[VirtualWorld], Awaitable[T]],
    *,
    through_frames: bool = False,
) -> T:
    """Let a cluster stand, do `job` in it, take it down; returns what the job returned.

    Raises WorkerFailed if any worker's task failed, VirtualDeadlock if nothing can ever happen
    again.
    """
    world = VirtualWorld(blueprint, through_frames=through_frames)
    loop = virtual_loop(world.clock)

    async def main() -> T:
        await world.start()
        try:
            return await job(world)
        finally:
            await world.stop()

    try:
        return loop.run_until_complete(main())
    except VirtualDeadlock as deadlock:
        # Most often nobody answers because a worker failed: that is what has to be told.
        for task, error in world.failures:
            raise WorkerFailed(f"{task}: {type(error).__name__}: {error}") from error
        raise deadlock
    finally:
        loop.close()
