"""A router that is gone for a while, and comes back with what its disk kept."""

from typing import Any

from cluster.router.control import Control
from cluster.router.router import Router
from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds.cluster import workers_of
from workers.host.disk import MemoryDisk
from workers.node import Node
from workers.wire.message import Message
from workers.wire.rules import Drop, Pass, Verdict


class Unreachable:
    """Nothing comes from or reaches the router's machine."""

    def judge(self, source: str, destination: str, message: Message) -> Verdict:
        return Drop() if "router" in (source, destination) else Pass()


def router_of(world: VirtualWorld) -> Router:
    (router,) = workers_of(world, Router).values()
    return router


def tokenizer_of(router: Router) -> Any:
    return router.ledger._machine._texts.tokenizer


class Outage:
    """The router's process is gone, and its machine with all that it held in memory; the disk is
    what a crash leaves of it.
    """

    def __init__(self, world: VirtualWorld) -> None:
        self.world, self.before = world, router_of(world)
        self.node: Node = self.before._node
        for node in world.nodes.values():
            node.endpoint.rules["outage"] = Unreachable()
        for task in list(self.node._tasks.values()):
            task.cancel()
        for pending in list(self.node.endpoint._pending.values()):
            pending.abandon()
        disk = self.node.disk
        assert isinstance(disk, MemoryDisk)
        disk.crash(lambda name: 0.5)
        for key in [key for key in self.node.endpoint._handlers if key[0] == "router"]:
            del self.node.endpoint._handlers[key]
        self.node.endpoint.on_peer_dead.clear()

    async def over(self) -> Router:
        """Another router stands there, and knows what the disk knows."""
        for node in self.world.nodes.values():
            del node.endpoint.rules["outage"]
        before = self.before
        router = Router(
            self.node, "router", before.settings, tokenizer_of(before), before.stores._servers,
            before._chips, journaled=True,
        )  # fmt: skip
        assert router.state == before.state and router.state is not before.state
        Control(self.node, self.node.port("router"), router)
        assert await router.recover()
        return router
