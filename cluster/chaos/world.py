"""The virtual world as trials use it: whoever is placed is told of, and nothing looks for garbage
in between (a search does, once in a while).
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from cluster.worlds.blueprint import Blueprint
from cluster.worlds.virtual import VirtualWorld
from cluster.worlds.virtual_hands import VirtualHands
from cluster.worlds.virtual_host import VirtualHost
from cluster.worlds.virtual_run import complete
from workers.node import Node

T = TypeVar("T")


class ChaosWorld(VirtualWorld):
    """on_placed        told of each incarnation of a node before it says a word
    stopped, filled, skewed  nodes that may be paused, whose disk may be full, whose clock be wrong

    hands   what faults can do to nodes
    """

    def __init__(
        self,
        blueprint: Blueprint,
        on_placed: Callable[[Node], None],
        stopped: frozenset[str] = frozenset(),
        filled: frozenset[str] = frozenset(),
        skewed: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(blueprint)
        self.host = VirtualHost(self.clock, stopped=stopped, filled=filled, skewed=skewed)
        self.hands = VirtualHands(self.host, self.seats, self._lives, self.kill, self.revive)
        self._on_placed = on_placed

    async def place(self, node: str, epoch: int) -> None:
        await super().place(node, epoch)
        self._on_placed(self.seats[node].node)


def run_chaos(world: ChaosWorld, job: Callable[[], Awaitable[T]]) -> T:
    """Let it stand, do `job`, take it down. Raises as `run_virtual` does, but for its accounts of
    time and energy, which are no law of requests.
    """

    async def main() -> T:
        try:
            await world.start()
            return await job()
        finally:
            await world.stop()

    return complete(world.clock, main())
