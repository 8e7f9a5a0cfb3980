"""The cluster's hands on its machines: made when a machine is first needed, with all that its nodes
will want there.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.worlds.blueprint import Blueprint
from cluster.worlds.machines import files, names
from cluster.worlds.machines.answers import answer
from cluster.worlds.machines.file_sets import elsewhere
from cluster.worlds.machines.machine import Machine
from cluster.worlds.machines.setup import Setup
from cluster.worlds.wire_host import Ground, Place
from workers.host.clock.steering import Reference

# An actor starts within seconds, or its machine has no room for a process.
MACHINE_TIMEOUT_S, ANSWER_S = 60.0, 10.0
# A long file may have to be read, or a piece of it to cross a slow network.
FILES_S = 600.0


@dataclass(frozen=True, slots=True)
class Known:
    """A machine, and the blueprint with paths as they are there."""

    handle: Any
    ground: Ground
    place: Place
    blueprint: Blueprint


class GroundCrew:
    """time   the clock that all machines go by"""

    def __init__(self, setup: Setup, time: Reference) -> None:
        self._setup, self._time = setup, time
        self._known: dict[str, Known] = {}
        # Files that are not on this machine where they are said to be -> where they are.
        self.sources: dict[str, Path] = {}
        self._without_hand: list[str] = []

    def become(self, setup: Setup) -> None:
        """The cluster has other nodes from now on; files lie where they did."""
        self._setup = setup
        for machine, known in self._known.items():
            blueprint = as_now(known.blueprint, setup.blueprint)
            self._known[machine] = replace(known, blueprint=blueprint)

    def name_of(self, machine: str) -> str:
        return self._setup.hosts.get(machine, machine[:12])

    def handle(self, machine: str) -> Any:
        """The actor on a machine; None of one that is not known, or gone."""
        known = self._known.get(machine)
        return None if known is None else known.handle

    def forget(self, machine: str) -> None:
        """The actor there is gone, alone or with its machine; should it be needed, it is made anew,
        and has nothing of what was there.
        """
        if self._known.pop(machine, None) is not None:
            self._without_hand.append(machine)

    def without_hand(self) -> list[str]:
        """Machines that were forgotten since this was last asked."""
        machines, self._without_hand = self._without_hand, []
        return machines

    async def known(self, machine: str) -> Known:
        """A machine, ready for nodes. Raises TimeoutError or what failed there."""
        if machine not in self._known:
            self._known[machine] = await self._made(machine)
        return self._known[machine]

    async def _made(self, machine: str) -> Known:
        setup, address = self._setup, address_of(machine)
        actor = ray.remote(Machine).options(
            name=names.machine(setup.name, machine),
            namespace=names.NAMESPACE,
            lifetime="detached",
            get_if_exists=True,  # one that could not be reached for a while
            num_cpus=0,
            max_restarts=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(machine, soft=False),
        )
        handle: Any = actor.remote(address, setup.token, setup.certificates)
        whom = self._hand_on(machine)
        ground = await answer(handle.ground.remote(), whom, MACHINE_TIMEOUT_S)
        devices = await answer(handle.devices.remote(), whom, ANSWER_S)
        place = Place(machine, address, devices, setup.far, self._time)
        return Known(handle, ground, place, await self._blueprint(handle, whom))

    def _hand_on(self, machine: str) -> str:
        return f"the cluster's actor on {self.name_of(machine)}"

    async def _blueprint(self, handle: Any, whom: str) -> Blueprint:
        paths = {what: await self._there(handle, whom, what) for what in self._setup.files}
        return elsewhere(self._setup.blueprint, paths)

    async def _there(self, handle: Any, whom: str, what: str) -> Path:
        """Where these files are on a machine; they are sent if it does not see them."""
        wanted = self._setup.files[what]
        if await answer(handle.sees.remote(wanted), whom, FILES_S):
            return wanted.path
        source = self.sources.get(what, wanted.path)
        if not await asyncio.to_thread(wanted._replace(path=source).is_here):
            raise ValueError(
                f"{source} has changed since the cluster was raised: `perfuse down`, up"
            )
        reading = files.pieces(source)
        while (piece := await asyncio.to_thread(next, reading, None)) is not None:
            await answer(handle.receive.remote(what, piece), whom, FILES_S)
        received: Path = await answer(handle.complete.remote(what, wanted), whom, FILES_S)
        return received

    async def check_reach(self) -> None:
        """Raises ValueError naming the machines of which one does not reach the other."""
        known = self._known
        ports = await self._each("listen")
        doors = {one.place.address: ports[machine] for machine, one in known.items()}
        found = await self._each("unreached", doors)
        await self._each("listen_no_more")
        clock = self._time.asker
        hear = await self._each("hears", clock)
        problems = [
            f"{self.name_of(machine)} does not reach {address}:{doors[address]}: {why}: open the "
            "machines' ports to each other (each node of the cluster listens on one that the "
            "system chooses), or correct --node-ip-address of that machine's `ray start`"
            for machine, unreached in found.items()
            for address, why in unreached.items()
        ]
        problems += [
            f"{self.name_of(machine)} does not hear the cluster's clock at {clock.host}:"
            f"{clock.port} (UDP): open the machines' UDP ports to each other, too"
            for machine, heard in hear.items()
            if not heard and not found[machine]
        ]
        if problems:
            raise ValueError("\n".join(problems))

    async def _each(self, question: str, *arguments: Any) -> dict[str, Any]:
        """One question to the actors on all machines, at once."""
        asked = [
            answer(
                getattr(one.handle, question).remote(*arguments),
                self._hand_on(machine),
                MACHINE_TIMEOUT_S,
            )
            for machine, one in self._known.items()
        ]
        return dict(zip(self._known, await asyncio.gather(*asked), strict=True))

    async def end(self, timeout_s: float) -> None:
        """Every machine removes what the cluster has there; one that is gone has nothing."""

        async def one(known: Known) -> None:
            await answer(known.handle.end.remote(), "a machine", timeout_s)
            ray.kill(known.handle)

        await asyncio.gather(
            *(one(known) for known in self._known.values()), return_exceptions=True
        )


def address_of(machine: str) -> str:
    """Where others reach a machine. Raises ValueError for one that Ray does not have."""
    addresses = {each["NodeID"]: each["NodeManagerAddress"] for each in living()}
    if machine not in addresses:
        raise ValueError(f"Ray's node {machine} is not there any more")
    return str(addresses[machine])


def living() -> Sequence[dict[str, Any]]:
    """What Ray tells of each machine that it has now."""
    return [each for each in ray.nodes() if each["Alive"]]


def as_now(there: Blueprint, now: Blueprint) -> Blueprint:
    """What a machine knew, with the nodes that there are now."""
    scenario = there.scenario.model_copy(update={"cluster": now.scenario.cluster})
    return replace(there, plan=now.plan, scenario=scenario)
