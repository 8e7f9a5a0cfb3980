"""What faults do to nodes of the virtual world."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping

from cluster.faults.spells import Spell
from cluster.worlds.crew import Crew
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
        self._begun: dict[str, int] = {}  # faults of links that waited -> since when they stand
        # Node -> (share, draw): how its flash has worn out, whichever incarnation opens it.
        self._worn: dict[str, list[tuple[float, float]]] = defaultdict(list)

    def epoch(self, node: str) -> int | None:
        return self._seats[node].node.epoch if self._lives(node) else None

    async def crash(self, node: str) -> None:
        await self._kill(node)

    async def restart(self, node: str) -> None:
        await self._revive(node)

    def built(self, node: str) -> None:
        """An incarnation has its workers: its devices are as the last one left them."""
        for share, draw in self._worn.get(node, ()):
            self._seats[node].inside.wear_out(share, draw)
        for name, at_ns in self._begun.items():
            self._crew(node).standing.begin(name, at_ns)

    def begin_rule(self, name: str) -> None:
        """What a fault of links has waited for happens now."""
        self._begun[name] = at_ns = self._host.clock.now()
        for node in self._seats:
            if self._lives(node):
                self._crew(node).standing.begin(name, at_ns)

    def _crew(self, node: str) -> Crew:
        crew = self._seats[node].crew
        assert crew is not None, f"{node} has its workers"
        return crew

    async def pause(self, node: str) -> None:
        self._host.gates[node].close()

    async def resume(self, node: str) -> None:
        self._host.gates[node].open()

    async def begin(self, node: str, spell: Spell) -> None:
        if spell.is_of_clock:
            now_ns = self._host.clock.now()
            self._host.skews[node].begin(now_ns, spell.ahead_ns, spell.drift_ppm)
            return
        self._seats[node].inside.begin(spell)

    async def end(self, node: str, spell: Spell) -> None:
        if spell.is_of_clock:
            self._host.skews[node].end(spell.ahead_ns, spell.drift_ppm)
            return
        self._seats[node].inside.end(spell)

    async def page_error(self, node: str, share: float) -> str:
        return self._seats[node].inside.page_error(share)

    async def wear_out(self, node: str, share: float, draw: float) -> int:
        num_blocks = self._seats[node].inside.wear_out(share, draw)
        if num_blocks:
            self._worn[node].append((share, draw))
        return num_blocks

    async def fill_disk(self, node: str) -> None:
        self._host.limited[node].fill()

    async def empty_disk(self, node: str) -> None:
        self._host.limited[node].empty()
