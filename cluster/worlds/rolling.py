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

from collections.abc import Sequence
from typing import Any, Protocol

from cluster.worlds.blueprint import Blueprint
from cluster.worlds.raising import ENDING, OnStep, Seats, busy_with, raise_again
from configs.plan import ChipPlan, NodePlan, ShardPlan
from workers.errors import PeerDead
from workers.wire.membership import Member

# Between two looks at whether a node has ended what it had.
LOOK_EVERY_NS = 1_000_000
STAYS = ("gateway", "switch")
# Tokens of a sequence until the step that was under way is over: one may have been on its way.
STEP_TOKENS = 2


class Standing(Seats, Protocol):
    """A cluster that serves."""

    blueprint: Blueprint
    members: list[Member]


def to_restart(blueprint: Blueprint) -> list[str]:
    """Nodes that begin anew, in order: the router last, which must know how the others ended."""
    stays = {*STAYS} if blueprint.scenario.cluster.keeps_journal else {*STAYS, "router"}
    nodes = [node for node in blueprint.plan.nodes if not _roles(node) & stays]
    return [node.name for node in sorted(nodes, key=lambda node: "router" in _roles(node))]


async def restart_each(world: Standing, on_step: OnStep) -> None:
    """Let every node begin anew as its next incarnation."""
    for node in to_restart(world.blueprint):
        on_step(f"restarting {node}")
        await restart(world, node)


async def restart(world: Standing, node: str) -> None:
    """Let one node that lives begin anew as its next incarnation."""
    await _Restart(world, node).run()


class _Restart:
    """Of one node."""

    def __init__(self, world: Standing, name: str) -> None:
        self._world, self._name = world, name
        blueprint = world.blueprint
        self._plan = blueprint.plan.node(name)
        self._gateway = blueprint.node_of("gateway").name
        self._router = blueprint.node_of("router").name

    async def run(self) -> None:
        if all(self._has_sibling(worker) for worker in self._plan.workers):
            while await self._is_busy():
                await self._look_again()
            await self._begin_anew()
            await self._steps_end()
            return
        await self._ask(self._gateway, "door", "hold")
        try:
            while not await self._is_ready():
                await self._look_again()
            await self._begin_anew()
        finally:
            await self._ask(self._gateway, "door", "release")

    def _has_sibling(self, worker: object) -> bool:
        """Whether another worker does meanwhile what this one did."""
        plan = self._world.blueprint.plan
        if isinstance(worker, ShardPlan):
            return bool(plan.spares)
        return isinstance(worker, ChipPlan) and len(plan.names(worker.role)) > 1

    async def _is_busy(self) -> bool:
        world, here = self._world, [worker.name for worker in self._plan.workers]
        if await busy_with(world, world.members, world.blueprint, [self._name]):
            return True
        return bool(await self._ask(self._router, "is_named", here))

    async def _is_ready(self) -> bool:
        """Whether nobody notices that it goes, while whoever comes waits at the door."""
        if _roles(self._plan) == {"router"}:
            _, num_asking = await self._ask(self._gateway, "door_is")
            return not num_asking
        return bool(await self._ask(self._gateway, "is_quiet"))

    async def _steps_end(self) -> None:
        """Steps that were under way when the node restarted are over, and need no spare any more:
        each sequence has more tokens, or has ended.
        """
        lengths = await self._ask(self._router, "lengths")
        while not await self._ask(self._router, "longer", lengths, STEP_TOKENS):
            await self._look_again()

    async def _look_again(self) -> None:
        await self._ask(self._gateway, "later", LOOK_EVERY_NS)

    async def _begin_anew(self) -> None:
        world, name = self._world, self._name
        before = next((member for member in world.members if member.node == name), None)
        if before is None:
            raise PeerDead(f"{name} is gone: it cannot end what it had", node=name)
        others = _names([member for member in world.members if member.node != name])
        await world.ask_each(others, "part", name, "it restarts")
        for question in ENDING:
            await world.ask_each([name], question)
        await self._look_again()  # whoever asked it has found somebody else meanwhile
        world.members = await raise_again(world, world.members, {name: before.epoch + 1})
        # Its chips are given work again.
        await self._ask(self._router, "extend", world.blueprint)

    async def _ask(self, node: str, question: str, *arguments: Any) -> Any:
        return (await self._world.ask_each([node], question, *arguments))[node]


def _names(members: Sequence[Member]) -> list[str]:
    return [member.node for member in members]


def _roles(node: NodePlan) -> set[str]:
    return {worker.role for worker in node.workers}
