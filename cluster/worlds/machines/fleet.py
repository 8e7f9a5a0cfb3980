"""The processes of a cluster's nodes, each where its placement group has a place for it: `Seats`,
as every world has them.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import ray
from ray.util.placement_group import get_placement_group, placement_group_table
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from cluster.worlds.blueprint import Blueprint
from cluster.worlds.machines import names
from cluster.worlds.machines.answers import answer
from cluster.worlds.machines.ground_crew import GroundCrew, living
from cluster.worlds.machines.setup import Setup
from cluster.worlds.seat import Seat
from cluster.worlds.wire_host import Ground, Place, PlacedHost
from workers.actors import Make, start_process
from workers.errors import PeerDead

START_TIMEOUT_S = 180
# What takes as long as a process starts, or a model or a collection is large; the rest is answered
# at once, or its node is gone.
SLOW, ANSWER_S = ("listen", "build", "preload"), 30.0
# Ray finds another machine for a bundle whose own is gone, if there is one.
PLACE_TIMEOUT_S = 30.0


class Lenient:
    """The same seats, asked for what whoever cannot hear it need not hear: that one is minded on
    its own.
    """

    def __init__(self, fleet: "Fleet", timeout_s: float) -> None:
        self._fleet, self._timeout_s = fleet, timeout_s

    async def place(self, node: str, epoch: int) -> None:
        await self._fleet.place(node, epoch)

    async def ask_each(
        self, nodes: Sequence[str], question: str, *arguments: Any
    ) -> dict[str, Any]:
        """Node -> answer, of those that answer."""
        fleet, timeout_s = self._fleet, self._timeout_s
        asked = [fleet.ask(node, question, *arguments, timeout_s=timeout_s) for node in nodes]
        said = dict(zip(nodes, await asyncio.gather(*asked, return_exceptions=True), strict=True))
        for one in said.values():
            if isinstance(one, BaseException) and not isinstance(one, PeerDead | TimeoutError):
                raise one
        return {node: one for node, one in said.items() if not isinstance(one, BaseException)}


class Fleet:
    """setup      what the cluster is made from, as it is now
    machines   the cluster's hands on the machines
    epochs     of whoever was placed last, by node
    where      the machine of each, by Ray's id; also of one that was removed and has a place still
    disks      where the disk of each is: another machine, or another folder of the same, has none
               of what an earlier incarnation left
    """

    def __init__(self, setup: Setup, machines: GroundCrew) -> None:
        self.setup, self.machines = setup, machines
        self.epochs: dict[str, int] = {}
        self.where: dict[str, str] = {}
        self.disks: dict[str, str] = {}
        self._processes: dict[str, Any] = {}

    def become(self, setup: Setup) -> None:
        """The cluster has other nodes from now on."""
        self.setup = setup
        self.machines.become(setup)

    # -- Seats -------------------------------------------------------------------------------------

    async def place(self, node: str, epoch: int) -> None:
        """A process for it; all start at once."""
        group_name, number = self.setup.place_of(node)
        group = get_placement_group(group_name)
        machine = await machine_of(group, group_name, number)
        known = await self.machines.known(machine)
        self._processes[node] = start_process(
            names.node(self.setup.name, node, epoch),
            _seat(known.blueprint, node, epoch, known.ground, known.place),
            namespace=names.NAMESPACE,
            lifetime="detached",
            scheduling_strategy=PlacementGroupSchedulingStrategy(
                placement_group=group, placement_group_bundle_index=number
            ),
        )
        self.epochs[node], self.where[node] = epoch, machine
        self.disks[node] = f"{machine}:{known.ground.folder}"

    async def ask_each(
        self, nodes: Sequence[str], question: str, *arguments: Any
    ) -> dict[str, Any]:
        timeout_s = START_TIMEOUT_S if question in SLOW else ANSWER_S
        asked = [self.ask(node, question, *arguments, timeout_s=timeout_s) for node in nodes]
        return dict(zip(nodes, await asyncio.gather(*asked), strict=True))

    # ----------------------------------------------------------------------------------------------

    async def ask(
        self, node: str, question: str, *arguments: Any, timeout_s: float = START_TIMEOUT_S
    ) -> Any:
        """Raises PeerDead where the process is gone, TimeoutError where it does not answer."""
        if node not in self._processes:
            raise PeerDead(f"{node} is no node of this cluster any more", node=node)
        whom = f"{node} on {self.machines.name_of(self.where.get(node, ''))}"
        asked = self._processes[node].ask.remote(question, *arguments)
        return await answer(asked, whom, timeout_s)

    async def end(self, question: str, timeout_s: float) -> None:
        """One of the questions that end a node, put to all; what is dead has nothing to end."""

        async def one(process: Any) -> None:
            await answer(process.end.remote(question), "a node", timeout_s)

        asked = [one(process) for process in self._processes.values()]
        await asyncio.gather(*asked, return_exceptions=True)

    def kill(self, node: str) -> None:
        """Its process dies without a word."""
        ray.kill(self._processes[node])

    def forget(self, node: str) -> None:
        """It was removed: its process ends, and no other comes in its place. Its epoch stays known:
        whoever is called so later is another.
        """
        process = self._processes.pop(node, None)
        if process is not None:
            ray.kill(process)

    def kill_all(self) -> None:
        for process in self._processes.values():
            ray.kill(process)


def _seat(blueprint: Blueprint, node: str, epoch: int, ground: Ground, place: Place) -> Make:
    cluster = blueprint.scenario.cluster

    def make() -> Seat:
        return Seat(blueprint, node, epoch, PlacedHost(cluster, ground, place), alone=True)

    return make


def _living() -> set[str]:
    return {str(each["NodeID"]) for each in living()}


async def machine_of(group: Any, name: str, number: int) -> str:
    """Ray's id of the machine that a bundle is on. Raises TimeoutError while it has none."""
    ends = asyncio.get_running_loop().time() + PLACE_TIMEOUT_S
    while True:
        told = placement_group_table(group)
        machine = told.get("bundles_to_node_id", {}).get(number, "")
        # Of a group that has lost a machine the bundles on others are as they were.
        if machine and (told.get("state") == "CREATED" or machine in _living()):
            return str(machine)
        if asyncio.get_running_loop().time() > ends:
            raise TimeoutError(
                f"placement group {name}: Ray has had no machine for bundle {number} for "
                f"{PLACE_TIMEOUT_S:g} s"
            )
        await asyncio.sleep(0.2)
