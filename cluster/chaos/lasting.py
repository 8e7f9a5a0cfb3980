"""Faults of nodes that go on for a while: one stands still, is slow or short of memory, its disk
is full, or its clock wrong.
"""

import asyncio
from collections.abc import Callable

from cluster.chaos.away import Away
from cluster.chaos.kinds import CLOCKS, MILLION
from cluster.chaos.trial import Fault
from cluster.chaos.world import ChaosWorld
from cluster.faults.spells import Spell

OnMark = Callable[[str, str], None]


class Lasting:
    """By the hands of a world. An incarnation that died takes its own with it, but for a disk and a
    clock.

    filled   nodes whose disk was full
    """

    def __init__(self, world: ChaosWorld, away: Away, mark: OnMark) -> None:
        self._world, self._away, self._mark = world, away, mark
        self._going_on: dict[str, tuple[Fault, int]] = {}  # name -> and whom it began with
        self._tasks: list[asyncio.Task[None]] = []
        self.filled: set[str] = set()
        self._over_ns = 0
        self._slowed: set[str] = set()

    def begin(self, fault: Fault) -> bool:
        """False where nobody lives there."""
        node = fault.nodes[0]
        epoch = self._world.hands.epoch(node)
        if epoch is None:
            return False
        self._going_on[fault.name] = fault, epoch
        if fault.what == "pause":
            self._away.leaves(node)
        elif fault.what == "disk_full":
            self.filled.add(node)
        elif fault.what == "slow":
            self._slowed.add(node)
        task = asyncio.get_running_loop().create_task(self._lasts(fault), name=fault.name)
        self._tasks.append(task)
        return True

    def until_ns(self) -> int:
        """Until when any of them went on: now, where one does; what a slow machine has launched
        goes on after that.
        """
        if self._going_on:
            return self._world.clock.now()
        return max(self._over_ns, self._launched_ns())

    def _launched_ns(self) -> int:
        """Until when launches go on that machines began while they were slow."""
        nodes = self._world.nodes
        lasting = (nodes[node].hardware.slow_until_ns for node in self._slowed if node in nodes)
        return max(lasting, default=0)

    async def end(self) -> None:
        """All of them, at once."""
        for fault, _ in list(self._going_on.values()):
            await self._over(fault)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _lasts(self, fault: Fault) -> None:
        hands, node, clock = self._world.hands, fault.nodes[0], self._world.clock
        match fault.what:
            case "pause":
                await hands.pause(node)
            case "disk_full":
                await hands.fill_disk(node)
            case _:
                await hands.begin(node, spell_of(fault))
        if fault.for_ns is not None:
            await clock.wait_until(clock.now() + fault.for_ns)
            await self._over(fault)

    async def _over(self, fault: Fault) -> None:
        known = self._going_on.pop(fault.name, None)
        if known is None:
            return
        self._over_ns = self._world.clock.now()
        hands, node = self._world.hands, fault.nodes[0]
        is_same = hands.epoch(node) == known[1]
        if fault.what == "pause":
            self._away.returns(node)
            if is_same:
                await hands.resume(node)
        elif fault.what == "disk_full":
            await hands.empty_disk(node)
        elif is_same or fault.what in CLOCKS:
            await hands.end(node, spell_of(fault))
        self._mark(node, f"{fault.what} ends")


def spell_of(fault: Fault) -> Spell:
    match fault.what:
        case "slow":
            return Spell(slow=fault.amount)
        case "out_of_memory":
            return Spell(share=min(fault.amount, MILLION) / MILLION)
        case "clock_ahead":
            return Spell(ahead_ns=fault.amount)
        case _:
            return Spell(ahead_ns=-fault.amount)
