"""What faults do to nodes of the virtual world."""

import math
from collections.abc import Awaitable, Callable, Mapping

from cluster.worlds.seat import Seat
from cluster.worlds.virtual_host import VirtualHost

Do = Callable[[str], Awaitable[None]]


class VirtualHands:
    """`Actuator` and `Insides` of `cluster.faults.actuator`.

    seats    that stand, dead or alive      lives    whether one's incarnation does
    kill, revive   as the world does them
    """

    def __init__(
        self,
        host: VirtualHost,
        seats: Mapping[str, Seat],
        lives: Callable[[str], bool],
        kill: Do,
        revive: Do,
    ) -> None:
        self._host, self._seats, self._lives = host, seats, lives
        self._kill, self._revive = kill, revive
        self._factors: dict[str, tuple[int, list[float]]] = {}  # node -> epoch, of what goes on

    def epoch(self, node: str) -> int | None:
        return self._seats[node].node.epoch if self._lives(node) else None

    async def crash(self, node: str) -> None:
        await self._kill(node)

    async def restart(self, node: str) -> None:
        await self._revive(node)

    async def pause(self, node: str) -> None:
        self._host.gates[node].close()

    async def resume(self, node: str) -> None:
        self._host.gates[node].open()

    async def slow(self, node: str, factor: float) -> None:
        self._factors_of(node).append(factor)
        self._become_slow(node)

    async def slow_no_more(self, node: str, factor: float) -> None:
        self._factors_of(node).remove(factor)
        self._become_slow(node)

    def _factors_of(self, node: str) -> list[float]:
        """Of the incarnation that lives: those that were say nothing of it."""
        epoch = self._seats[node].node.epoch
        known_epoch, factors = self._factors.get(node, (epoch, []))
        if known_epoch != epoch:
            factors = []
        self._factors[node] = epoch, factors
        return factors

    def _become_slow(self, node: str) -> None:
        seat = self._seats[node]
        seat.node.hardware.slow = math.prod(self._factors_of(node), start=seat.plan.slow)

    async def page_error(self, node: str, share: float) -> str:
        crew = self._seats[node].crew
        return "" if crew is None else crew.damage(share)

    async def fill_disk(self, node: str) -> None:
        self._host.limited[node].fill()

    async def empty_disk(self, node: str) -> None:
        self._host.limited[node].empty()
