"""Nodes that are stand-ins, and answer as they are told, under a mender."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cluster.worlds.machines import mender as tested
from cluster.worlds.machines import returning
from cluster.worlds.machines.mender import Mender
from configs.schema import load_scenario
from workers.errors import PeerDead
from workers.wire.membership import Member

LINK = load_scenario("demo").cluster.nodes["decode"].link
NODES = ("a", "b", "c")


class Nodes:
    """A fleet of stand-ins, and its machines.

    dead, silent   nodes whose process has ended, or whose machine is cut off
    said           (who was told, what) of questions other than `pid`
    """

    def __init__(self) -> None:
        self.machines = self
        self.epochs = dict.fromkeys(NODES, 1)
        self.where = {node: f"machine of {node}" for node in NODES}
        self.disks = dict(self.where)
        self.handless: list[str] = []  # machines whose actor is gone
        self.dead: set[str] = set()
        self.silent: set[str] = set()
        self.said: list[tuple[str, str, Any]] = []
        self.ended: list[str] = []
        self.broken: list[tuple[str, str]] = []  # (who, whom it does not know any more)
        self.during: Callable[[str, str], Awaitable[None]] | None = None

    async def ask(self, node: str, question: str, *arguments: Any, timeout_s: float = 0) -> Any:
        if self.during is not None:
            await self.during(node, question)
        if node in self.dead:
            raise PeerDead(f"{node} is gone: its process ended", node=node)
        if node in self.silent:
            raise TimeoutError(f"{node} did not answer within {timeout_s:g} s")
        if question == "pid":
            return 100 * self.epochs[node]
        if question == "knows":
            lacks = [other for one, other in self.broken if one == node]
            return {other: epoch for other, epoch in self.epochs.items() if other not in lacks}
        if question == "listen":
            return Member(node, self.epochs[node], LINK)
        self.said.append((node, question, arguments[0] if arguments else None))
        return None

    async def ask_each(self, nodes: Any, question: str, *arguments: Any) -> dict[str, Any]:
        return {node: await self.ask(node, question, *arguments) for node in nodes}

    async def place(self, node: str, epoch: int) -> None:
        self.epochs[node] = epoch
        self.broken = [pair for pair in self.broken if node not in pair]  # all meet the new one
        self.dead.discard(node)

    def kill(self, node: str) -> None:
        self.ended.append(node)

    def forget(self, machine: str) -> None:
        """See `without_hand`."""

    def without_hand(self) -> list[str]:
        machines, self.handless = self.handless, []
        return machines

    def name_of(self, machine: str) -> str:
        return machine

    def handle(self, machine: str) -> Any:
        return Machine(self, machine)


class Machine:
    """Its one method is called as Ray's actors are."""

    def __init__(self, nodes: Nodes, name: str) -> None:
        self.end_process = self
        self._nodes, self._name = nodes, name

    async def remote(self, pid: int) -> None:
        if any(self._nodes.where[node] == self._name for node in self._nodes.silent):
            raise TimeoutError


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.001)


def minded(job: Callable[[Nodes, Mender, list[str]], Awaitable[None]], restarts: int = 1) -> None:
    async def main() -> None:
        nodes, back = Nodes(), []

        async def came_back(node: str, is_elsewhere: bool) -> None:
            back.append(f"{node} elsewhere" if is_elsewhere else node)

        members = [Member(node, 1, LINK) for node in NODES]
        pids = dict.fromkeys(NODES, 100)
        mender = Mender(nodes, members, pids, restarts, came_back)  # type: ignore[arg-type]
        mender.begin()
        try:
            await job(nodes, mender, back)
        finally:
            mender.end()

    with pytest.MonkeyPatch.context() as patch:  # nobody waits for seconds
        patch.setattr(tested, "BEAT_EVERY_S", 0.001)
        patch.setattr(tested, "LOOK_EVERY_S", 0.001)
        patch.setattr(returning, "RETRY_S", 0.001)
        asyncio.run(main())
