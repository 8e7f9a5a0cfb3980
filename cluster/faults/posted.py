"""Faults of nodes that are told while a cluster runs: they wait for whoever has the hands."""

import asyncio
from collections.abc import Collection

from configs.schema.faults import NodeFault

# That nobody has taken yet: whoever does them asks all the time.
POSTED_MAX = 64


class PostedFaults:
    """On the gateway's node. `take` is asked by the process that raised the cluster."""

    def __init__(self, known: Collection[str]) -> None:
        """known   names of the scenario's faults of nodes"""
        self._names, self._num_named = set(known), 0
        self._waiting: list[tuple[str, NodeFault]] = []
        self._came = asyncio.Event()

    def problems(self, fault: NodeFault) -> list[str]:
        """Why it cannot be taken, each as "key: what is wrong, and what would be right"."""
        found = []
        if fault.name in self._names:
            found.append(f"name: {fault.name!r} was another's: choose another name")
        if len(self._waiting) >= POSTED_MAX:
            found.append(f"{POSTED_MAX} faults of nodes wait to be done: ask again later")
        return found

    def put(self, fault: NodeFault) -> NodeFault:
        """Returns it with its name."""
        name = fault.name or self._next_name()
        named = fault.model_copy(update={"name": name})
        self._names.add(name)
        self._waiting.append((name, named))
        self._came.set()
        return named

    def _next_name(self) -> str:
        while (name := f"posted-{self._num_named}") in self._names:
            self._num_named += 1
        return name

    async def take(self) -> list[tuple[str, NodeFault]]:
        """All that wait, in order; waits until there is one."""
        while not self._waiting:
            self._came.clear()
            await self._came.wait()
        taken, self._waiting = self._waiting, []
        return taken
