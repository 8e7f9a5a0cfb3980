"""Faults of nodes on many machines: kill -9, SIGSTOP and SIGCONT, sent by the cluster's hand on the
machine of each; in the process that holds the cluster together, by the wall.

Emulated time 0 is when the cluster stands. Whoever died comes back as any node that is gone: at
once, as often as `cluster.restarts` says, and else when the fault says. One that stands still for
longer than the mender's patience is given up, and ends.
"""

import asyncio
import signal

from cluster.faults.firing import Firing
from cluster.worlds.inside import POSTED
from cluster.worlds.machines.answers import answer
from cluster.worlds.machines.fleet import Fleet
from cluster.worlds.machines.mender import Mender
from cluster.worlds.node_status import printed
from configs.schema.faults import node_faults
from workers.host.clock.live import LiveClock
from workers.host.clock.origin import Origin
from workers.host.rng import Rng
from workers.host.trace import Noted, Trace

HAND_S, FOREVER_S = 5.0, 1e6


class MachineHands:
    """`cluster.faults.actuator.Actuator`."""

    def __init__(self, fleet: Fleet, mender: Mender) -> None:
        self._fleet, self._mender = fleet, mender
        self._num_pauses: dict[tuple[str, int], int] = {}  # of a node's incarnation

    def epoch(self, node: str) -> int | None:
        return next((m.epoch for m in self._mender.members if m.node == node), None)

    async def crash(self, node: str) -> None:
        await self._send(node, signal.SIGKILL)
        await self._mender.lose(node, "a fault killed it")

    async def restart(self, node: str) -> None:
        await self._mender.bring_back(node)

    async def pause(self, node: str) -> None:
        self._count(node, 1)
        await self._send(node, signal.SIGSTOP)

    async def resume(self, node: str) -> None:
        if not self._count(node, -1):
            await self._send(node, signal.SIGCONT)

    def _count(self, node: str, by: int) -> int:
        key = node, self.epoch(node) or 0
        self._num_pauses[key] = count = self._num_pauses.get(key, 0) + by
        return count

    async def resume_all(self) -> None:
        """The cluster ends, and asks every process to."""
        for (node, epoch), count in self._num_pauses.items():
            if count and self.epoch(node) == epoch:
                await self._send(node, signal.SIGCONT)

    async def _send(self, node: str, what: signal.Signals) -> None:
        """A machine that does not answer is minded on its own, and its nodes with it."""
        machines, where = self._fleet.machines, self._fleet.where[node]
        handle, pid = machines.handle(where), self._mender.pid(node)
        if handle is None or pid is None:
            return
        try:
            await answer(handle.signal_process.remote(pid, what), machines.name_of(where), HAND_S)
        except Exception as error:  # whatever it is: it is told, and the others' turn comes
            printed(f"{what.name} for {node}", error)


class MachineFaults:
    """All faults of a cluster's nodes, from now on. Made in the event loop of who holds it."""

    def __init__(self, fleet: Fleet, mender: Mender) -> None:
        blueprint = fleet.setup.blueprint
        scenario, self._trace = blueprint.scenario, Trace()
        dilation = scenario.cluster.dilation
        self._clock = LiveClock(Origin.now().monotonic_ns, dilation, emulated=False)
        self._hands = MachineHands(fleet, mender)
        of = node_faults(scenario.faults), blueprint.plan.directory, self._clock
        told = self._hands, self._trace, printed
        self._firing = Firing(*of, Rng(scenario.seed), *told)
        self._firing.begin()
        self._fleet, self._gateway = fleet, blueprint.node_of("gateway").name
        self._hearing = asyncio.get_running_loop().create_task(self._hear())

    async def _hear(self) -> None:
        """Those that the gateway is told while the cluster runs."""
        while True:
            try:
                told = await self._fleet.ask(self._gateway, "fault", POSTED, timeout_s=FOREVER_S)
            except Exception:  # it is gone, or was: its next incarnation is asked
                await asyncio.sleep(HAND_S)
                continue
            for name, fault in told:
                self._firing.add(name, fault)

    def told(self) -> list[str]:
        """What happened, of which node."""
        notes = [record for record in self._trace.records if isinstance(record, Noted)]
        return [f"{note.subject}: {note.detail}" for note in notes]

    async def end(self) -> None:
        self._hearing.cancel()
        await self._firing.stop()
        await self._hands.resume_all()
        self._clock.close()
