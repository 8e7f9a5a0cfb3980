"""A router that is gone for a while, and comes back with what its disk kept."""

from typing import Any

from cluster.router.journal.recovery import recover
from cluster.router.router import Router
from cluster.worlds.virtual import VirtualWorld
from tests.cluster.worlds.cluster import workers_of


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
        self.name = world.blueprint.plan.directory["router"]

    @classmethod
    async def begin(cls, world: VirtualWorld) -> "Outage":
        outage = cls(world)
        await world.kill(outage.name)
        return outage

    async def over(self) -> Router:
        """Another router stands there, and knows what the disk knows."""
        before, disk = self.before, self.world.host.disk(self.name)
        known = recover(disk, tokenizer_of(before)).state
        assert known == before.state and known is not before.state
        await self.world.revive(self.name)
        router = router_of(self.world)
        assert router is not before
        return router
