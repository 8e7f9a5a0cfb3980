"""Every node of a cluster begins anew, one after the other, while it serves: no request fails.

    chip with a sibling    given nothing new, ends what it has, restarts
    shard with a spare     restarts: the spare answers for it meanwhile, within the step; the next
                           node waits until all such steps are over
    router with a journal  new requests wait at the gateway; none is half taken; its streams go on
    anything else          new requests wait at the gateway, those inside end, it restarts

What waits at the gateway waits no longer than its own deadline. The gateway itself stays: its
clients hold connections to it. So does a router without a journal, which would forget its stores,
and a switch, which is as the network was built.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from cluster.router.machine.state import RequestState
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.raising import ENDING, OnStep, Seats, busy_with, raise_again
from cluster.worlds.seat import Seat
from configs.plan import ChipPlan, NodePlan, ShardPlan
from workers.errors import PerfuseError
from workers.wire.membership import Member

# Between two looks at whether a node has ended what it had.
LOOK_EVERY_NS = 1_000_000
STAYS = ("gateway", "switch")


class Standing(Seats, Protocol):
    """A cluster whose nodes stand in this process, and serve."""

    blueprint: Blueprint
    members: list[Member]
    seats: dict[str, Seat]


def to_restart(blueprint: Blueprint) -> list[str]:
    """Nodes that begin anew, in order: the router last, which must know how the others ended."""
    stays = {*STAYS} if blueprint.scenario.cluster.keeps_journal else {*STAYS, "router"}
    nodes = [node for node in blueprint.plan.nodes if not _roles(node) & stays]
    return [node.name for node in sorted(nodes, key=lambda node: "router" in _roles(node))]


async def restart_each(world: Standing, on_step: OnStep) -> None:
    """Let every node begin anew as its next incarnation."""
    for node in to_restart(world.blueprint):
        on_step(f"restarting {node}")
        await _Restart(world, node).run()


class _Restart:
    """Of one node."""

    def __init__(self, world: Standing, name: str) -> None:
        self._world, self._name = world, name
        self._plan = world.blueprint.plan.node(name)
        crew = world.seats[world.blueprint.node_of("gateway").name].crew
        assert crew is not None, "the cluster serves"
        self._client, self._clock = crew.gateway, crew.node.clock
        self._door = self._client.entrance

    async def run(self) -> None:
        world = self._world
        here = (world, world.members, world.blueprint, [self._name])
        if all(self._has_sibling(worker) for worker in self._plan.workers):
            while await busy_with(*here) or self._is_named():
                await self._look_again()
            await self._begin_anew()
            await self._steps_end()
            return
        self._door.hold()
        try:
            if _roles(self._plan) == {"router"}:
                while self._door.num_asking:
                    await self._look_again()
            else:
                while not await self._is_quiet():
                    await self._look_again()
            await self._begin_anew()
        finally:
            self._door.release()

    def _has_sibling(self, worker: object) -> bool:
        """Whether another worker does meanwhile what this one did."""
        plan = self._world.blueprint.plan
        if isinstance(worker, ShardPlan):
            return bool(plan.spares)
        return isinstance(worker, ChipPlan) and len(plan.names(worker.role)) > 1

    def _is_named(self) -> bool:
        """Whether a request was computed here, and goes on elsewhere: it is lost with any of its
        chips.
        """
        here = {worker.name for worker in self._plan.workers}
        placed = [request.placement for request in self._requests().values()]
        return any(here & {*placement.chips} for placement in placed if placement is not None)

    def _requests(self) -> Mapping[str, RequestState]:
        crew = self._world.seats[self._world.blueprint.node_of("router").name].crew
        assert crew is not None, "the cluster serves"
        return crew.router.state.requests

    async def _steps_end(self) -> None:
        """Steps that were under way when the node restarted are over, and need no spare any more:
        each sequence has two more tokens (one may have been on its way), or has ended.
        """
        lengths = {
            name: len(request.stream.tokens)
            for name, request in self._requests().items()
            if request.placement is not None
        }
        while any(
            len(request.stream.tokens) < lengths[name] + 2
            for name, request in self._requests().items()
            if name in lengths
        ):
            await self._look_again()

    async def _is_quiet(self) -> bool:
        """Whether nothing is inside but what waits at the door."""
        try:
            held = await self._client.held_everywhere()
        except PerfuseError:  # somebody is silent: ask again
            return False
        waiting = held.pop("readers"), held.pop("inside")
        return set(waiting) == {self._door.num_held} and not any(held.values())

    async def _look_again(self) -> None:
        await self._clock.wait_until(self._clock.now() + LOOK_EVERY_NS)

    async def _begin_anew(self) -> None:
        world, name = self._world, self._name
        epoch = world.seats[name].node.epoch + 1
        others = _names([member for member in world.members if member.node != name])
        await world.ask_each(others, "part", name, "it restarts")
        for question in ENDING:
            await world.ask_each([name], question)
        await self._look_again()  # whoever asked it has found somebody else meanwhile
        world.members = await raise_again(world, world.members, {name: epoch})
        # Its chips are given work again.
        router = world.blueprint.node_of("router").name
        await world.ask_each([router], "extend", world.blueprint)


def _names(members: Sequence[Member]) -> list[str]:
    return [member.node for member in members]


def _roles(node: NodePlan) -> set[str]:
    return {worker.role for worker in node.workers}
