"""What faults do inside nodes that are processes: each is asked to do it to itself."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from cluster.faults.spells import Spell
from cluster.worlds.inside import EMPTY, FILL
from workers.errors import PeerDead

# (node, what, arguments): waits for what `Inside.do` answers. Raises PeerDead.
Ask = Callable[..., Any]


class AskedHands:
    """`cluster.faults.actuator.Insides`. One that dies meanwhile has nothing done to it; what is of
    its device, and not of a process, its next incarnation is told (`stands_again`).
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._num_fills: Counter[str] = Counter()
        self._worn: dict[str, list[tuple[float, float]]] = defaultdict(list)

    async def begin(self, node: str, spell: Spell) -> None:
        await self._asked(node, "begin", spell)

    async def end(self, node: str, spell: Spell) -> None:
        await self._asked(node, "end", spell)

    async def page_error(self, node: str, share: float) -> str:
        return await self._asked(node, "page_error", share) or ""

    async def wear_out(self, node: str, share: float, draw: float) -> int:
        num_blocks: int = await self._asked(node, "wear_out", share, draw) or 0
        if num_blocks:
            self._worn[node].append((share, draw))
        return num_blocks

    async def fill_disk(self, node: str) -> None:
        self._num_fills[node] += 1
        await self._asked(node, FILL)

    async def empty_disk(self, node: str) -> None:
        self._num_fills[node] -= 1
        await self._asked(node, EMPTY)

    def stands_again(self, node: str) -> None:
        """Its next incarnation stands: its disk is as full, and its flash as worn."""
        with suppress(PeerDead):
            for _ in range(self._num_fills[node]):
                self._ask(node, FILL)
            for share, draw in self._worn.get(node, ()):
                self._ask(node, "wear_out", share, draw)

    async def _asked(self, node: str, what: str, *arguments: Any) -> Any:
        """Beside the loop: one that stands still answers when it goes on. None: it is gone."""
        loop = asyncio.get_running_loop()
        with suppress(PeerDead):
            return await loop.run_in_executor(None, self._ask, node, what, *arguments)
        return None
