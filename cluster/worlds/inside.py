"""What faults do inside one incarnation of a node, the same in every world."""

import math
from collections.abc import Callable
from typing import Any

from cluster.faults.spells import Spell
from cluster.worlds.crew import Crew
from configs.schema.faults import NodeFault
from workers.host.limited_disk import LimitedDisk
from workers.node import Node

FILL, EMPTY, POSTED = "fill_disk", "empty_disk", "posted"


class Inside:
    """Of spells at once factors multiply, and all else adds up.

    slow   how many times as long its launches take without any
    crew   its workers, once it has them
    """

    def __init__(self, node: Node, slow: float, crew: Callable[[], Crew | None]) -> None:
        self._node, self._slow, self._crew = node, slow, crew
        self._spells: list[Spell] = []

    async def do(self, what: str, *arguments: Any) -> Any:
        """One of the methods below, by its name."""
        if what == POSTED:
            return await self.posted()
        assert what in ("begin", "end", "page_error", "wear_out", FILL, EMPTY), what
        return getattr(self, what)(*arguments)

    async def posted(self) -> list[tuple[str, NodeFault]]:
        """On the gateway's node: faults of nodes that it was told, once there are some."""
        crew = self._crew()
        assert crew is not None, "it stands"
        assert crew.faults is not None, "asked of the gateway's node alone"
        return await crew.faults.posted.take()

    def begin(self, spell: Spell) -> None:
        self._spells.append(spell)
        self._become(spell)

    def end(self, spell: Spell) -> None:
        self._spells.remove(spell)
        self._become(spell)

    def _become(self, changed: Spell) -> None:
        crew, spells = self._crew(), self._spells
        self._node.hardware.slow = math.prod([s.slow for s in spells], start=self._slow)
        if changed.share and crew is not None:
            crew.withhold(min(1.0, sum(s.share for s in spells)))

    def page_error(self, share: float) -> str:
        crew = self._crew()
        return "" if crew is None else crew.damage(share)

    def wear_out(self, share: float, draw: float) -> int:
        crew = self._crew()
        return 0 if crew is None else crew.wear_out(share, draw)

    def fill_disk(self) -> None:
        self._disk.fill()

    def empty_disk(self) -> None:
        self._disk.empty()

    @property
    def _disk(self) -> LimitedDisk:
        disk = self._node.disk
        assert isinstance(disk, LimitedDisk), "its world gives it one that can be full"
        return disk


class Afflicted:
    """A question of a seat: what faults do to it."""

    inside: Inside

    async def fault(self, what: str, *arguments: Any) -> Any:
        return await self.inside.do(what, *arguments)
