"""What nodes of a cluster lose with their machine, and the scenario's collections replace."""

import asyncio
from contextlib import suppress

from cluster.worlds.machines.fleet import Fleet
from workers.errors import DeadlineExceeded, PeerDead

# Between two tries: whoever is away comes back by itself, or not.
RETRY_S = 5.0


class LostCollections:
    """A router or a memory server that comes back on another machine has an empty disk there; a
    router without a journal has lost what it knew wherever it comes back.

    problem   why something is missing still; "" where nothing is
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet, self.problem = fleet, ""
        self._owes, self._is_owed = False, asyncio.Event()
        plan = fleet.setup.blueprint.plan
        self._router = fleet.setup.blueprint.node_of("router").name
        self._nodes = {self._router, *(plan.directory[name] for name in plan.names("memory"))}
        self._task = asyncio.get_running_loop().create_task(self._bring())

    def came_back(self, node: str, has_lost: bool) -> None:
        """What is owed is brought when all are there who need it: this may be the last."""
        if node in self._nodes and (has_lost or self._owes):
            self._owes = True
            self._is_owed.set()

    def end(self) -> None:
        """Nothing is brought any more."""
        self._task.cancel()

    async def _bring(self) -> None:
        while True:
            await self._is_owed.wait()
            self._is_owed.clear()
            try:
                await self._fleet.ask(self._router, "preload", True)
                self.problem = ""
            except (PeerDead, TimeoutError, DeadlineExceeded) as error:  # somebody is away
                self.problem = f"collections are brought again when that is well: {error}"
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._is_owed.wait(), RETRY_S)
                self._is_owed.set()
                continue
            except Exception as error:
                self.problem = f"collections cannot be brought again: {error}"
            self._owes = self._is_owed.is_set()
