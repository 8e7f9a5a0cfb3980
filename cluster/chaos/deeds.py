"""What faults do to nodes: they die and come back, stand still, are slow, a bit of their memory
changes; and their links narrow.
"""

import asyncio

from cluster.chaos.away import Away
from cluster.chaos.kinds import MILLION
from cluster.chaos.lasting import Lasting
from cluster.chaos.narrowed import Narrowed
from cluster.chaos.trial import Fault, Seen
from cluster.chaos.world import ChaosWorld
from cluster.faults.rules import put, take_out
from cluster.faults.written import read_fault
from cluster.worlds.rolling import restart_each
from workers.host.rng import Rng


class Deeds:
    """`Nodes` of a virtual world. One node at a time dies or rises."""

    def __init__(self, world: ChaosWorld, seen: Seen) -> None:
        self._world, self._seen = world, seen
        self._turn = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._narrowed = Narrowed(world.clock)
        self._rolls: list[asyncio.Task[None]] = []
        # Node -> whether it is dead, or about to die.
        self.dead: dict[str, bool] = {}
        self.away = Away(world.clock)
        self._lasting = Lasting(world, self.away, self._mark)
        # Node of a memory server -> keys of blocks that page errors hit.
        self.damaged: dict[str, list[bytes]] = {}

    def kill(self, node: str, for_ns: int | None) -> bool:
        if self.dead.get(node):
            return False
        self.dead[node] = True
        self.away.leaves(node)
        kill = self._kill(node, for_ns)
        self._tasks.append(asyncio.get_running_loop().create_task(kill, name=f"kill {node}"))
        return True

    async def _kill(self, node: str, for_ns: int | None) -> None:
        world = self._world
        async with self._turn:
            await world.kill(node)
        self._mark(node, "dies")
        if for_ns is not None:
            await world.clock.wait_until(world.clock.now() + for_ns)
            await self._revive(node)

    async def _revive(self, node: str) -> None:
        async with self._turn:
            if self.dead.get(node):
                await self._world.revive(node)
                self.dead[node] = False
                self.away.returns(node)
                self._mark(node, "is back")

    def begin(self, fault: Fault) -> bool:
        return not self.dead.get(fault.nodes[0]) and self._lasting.begin(fault)

    def damage(self, fault: Fault) -> bool:
        """False where no block lies in the node's memory."""
        node = fault.nodes[0]
        if self.dead.get(node):
            return False
        key = self._world.seats[node].inside.page_error(fault.amount % MILLION / MILLION)
        if key:
            self.damaged.setdefault(node, []).append(bytes.fromhex(key))
        return bool(key)

    @property
    def filled(self) -> set[str]:
        """Nodes whose disk was full."""
        return self._lasting.filled

    def narrow(self, fault: Fault) -> bool:
        first, second = fault.nodes
        if first == second:
            return False
        rate = {"rate": f"{fault.amount} B/s"}
        body = {"type": "bandwidth", "source": first, "destination": second, "attributes": rate}
        rule = read_fault(body)
        world = self._world
        for name, node in world.nodes.items():
            if not self.dead.get(name):
                directory = world.blueprint.plan.directory
                put(node.endpoint, fault.name, rule, directory, Rng(0))
                node.endpoint.has_faults = True
        self._narrowed.begins(fault)
        if fault.for_ns is not None:
            world.clock.call_at(world.clock.now() + fault.for_ns, self._widen, fault)
        return True

    def carries(self, source: str, destination: str, num_bytes: int) -> None:
        self._narrowed.carries(source, destination, num_bytes)

    def roll(self) -> bool:
        """Nobody may die meanwhile: what restarts nodes counts on it."""
        roll = restart_each(self._world, lambda step: self._mark("all", step))
        self._rolls.append(asyncio.get_running_loop().create_task(roll, name="rolling restart"))
        return True

    def _widen(self, fault: Fault) -> None:
        if fault in self._narrowed.faults:
            self._narrowed.ends(fault)
            for node in self._world.nodes.values():
                take_out(node.endpoint, fault.name)

    def wrong_until_ns(self) -> int:
        """Until when any node was not, or will not be, as it should: now, where one is not."""
        if any(not roll.done() for roll in self._rolls):
            return self._world.clock.now()
        return max(self.away.until_ns(), self._lasting.until_ns(), self._narrowed.until_ns())

    async def heal(self) -> None:
        """Links are as wide as they were, everybody goes on, and whoever is dead comes back, as do
        those that restart. A router that could not write its journal promises nothing until it
        restarts: it does.
        """
        for fault in list(self._narrowed.faults):
            self._widen(fault)
        for roll in self._rolls:
            await roll
        await self._lasting.end()
        for node in sorted(self.filled):
            async with self._turn:
                if not self.dead.get(node):
                    await self._world.kill(node)
                    await self._world.revive(node)
        for node in [node for node, is_dead in self.dead.items() if is_dead]:
            await self._revive(node)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _mark(self, node: str, what: str) -> None:
        self._seen.marks.append((self._world.clock.now(), 1, node, what))
