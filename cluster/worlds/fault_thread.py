"""Faults of nodes in a live world: a thread of the driver's in which they come due, by the wall.

Emulated time 0 is when the cluster stands: starting processes takes as long as it takes.
"""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence

from cluster.faults.actuator import Actuator, Insides
from cluster.faults.firing import Firing
from cluster.worlds.node_status import printed
from configs.schema import Scenario
from configs.schema.faults import NodeFault, node_faults
from workers.host.clock.live import LiveClock
from workers.host.clock.origin import Origin
from workers.host.rng import Rng
from workers.host.trace import Trace

# Faults of nodes that somebody has posted; waits a little for some.
Posted = Callable[[], Sequence[tuple[str, NodeFault]]]


class FaultThread:
    """All faults of a scenario's nodes, and those that are posted. `trace` has what happened, as
    the nodes' own have the rest.

    directory   worker -> node
    """

    def __init__(
        self,
        scenario: Scenario,
        directory: Mapping[str, str],
        hands: Actuator,
        insides: Insides,
        posted: Posted,
    ) -> None:
        self._scenario, self._directory = scenario, directory
        self._hands, self._insides, self._posted = hands, insides, posted
        self.trace = Trace()
        self._loop = asyncio.new_event_loop()
        self._is_over = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="faults", daemon=True)

    def begin(self) -> None:
        """The cluster stands."""
        self._thread.start()

    def stop(self) -> None:
        """Nothing more happens from now on."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._is_over.set)
            self._thread.join()
        self._loop.close()

    def _run(self) -> None:
        self._loop.run_until_complete(self._live())

    async def _live(self) -> None:
        scenario = self._scenario
        clock = LiveClock(Origin.now().monotonic_ns, scenario.cluster.dilation, emulated=False)
        faults, rng = node_faults(scenario.faults), Rng(scenario.seed)
        told = self._hands, self.trace, printed, self._insides
        firing = Firing(faults, self._directory, clock, rng, *told)
        try:
            firing.begin()
            hearing = self._loop.create_task(self._hear(firing))
            await self._is_over.wait()
            await hearing
            await firing.stop()
        finally:
            clock.close()

    async def _hear(self, firing: Firing) -> None:
        while not self._is_over.is_set():
            for name, fault in await self._loop.run_in_executor(None, self._posted):
                firing.add(name, fault)
