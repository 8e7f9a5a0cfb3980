"""The virtual world: every node an object in this process, one event loop, no threads, exact time.

It imports no Ray, and nothing in it depends on the wall clock or on hashing: the same scenario and
seed give the same trace hash in any process.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from cluster.faults.firing import Firing
from cluster.gateway.router_client import MessageRouterClient
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.crew import Crew
from cluster.worlds.raising import (
    busy_with,
    part_with,
    raise_again,
    raise_cluster,
    raise_more,
)
from cluster.worlds.scaling import added, by_steps
from cluster.worlds.seat import Seat
from cluster.worlds.virtual_hands import VirtualHands
from cluster.worlds.virtual_host import host_for
from cluster.worlds.virtual_run import complete
from configs.schema.faults import link_faults, node_faults
from workers.hardware.energy.conservation import differences
from workers.hardware.usage import problems, work_problems
from workers.host.clock.virtual import VirtualClock, VirtualDeadlock
from workers.host.garbage import little_garbage
from workers.host.rng import Rng
from workers.host.trace import Trace
from workers.node import Node
from workers.wire.membership import Member

T = TypeVar("T")

# By this name every node's links ask for faults that wait for a message; no fault's has a space.
FAULTS_OF_NODES = "faults of nodes"
# Between two looks at whether a node that is to leave has ended what it had.
LOOK_EVERY_NS = 1_000_000


class WorkerFailed(RuntimeError):
    """A worker's task ended with an error nobody expected: a bug."""


class Overbooked(RuntimeError):
    """A resource has worked longer than time passed: emulated time that no hardware could keep."""


class TimeLost(RuntimeError):
    """A resource's busy, waiting and idle time do not make up the time that passed: a bug."""


class EnergyLost(RuntimeError):
    """A node's accounts of its energy disagree: a bug."""


class VirtualWorld:
    """A cluster that stands in this process. Use `run_virtual`.

    through_frames   encode and decode every message, as on a real wire
    """

    def __init__(self, blueprint: Blueprint, *, through_frames: bool = False) -> None:
        self.blueprint = blueprint
        self.clock = VirtualClock()
        faults, plan = node_faults(blueprint.scenario.faults), blueprint.plan
        self.host = host_for(faults, plan.directory, self.clock, through_frames)
        self.seats: dict[str, Seat] = {}
        self.members: list[Member] = []
        self.failures: list[tuple[str, BaseException]] = []
        self._epochs: dict[str, int] = {}  # of whoever was placed last
        self._joins = asyncio.Lock()
        self.hands = VirtualHands(self.host, self.seats, self._lives, self.kill, self.revive)
        drawn = faults, plan.directory, self.clock, Rng(blueprint.scenario.seed)
        told = self.hands, self.host.whole_trace, self._failed, self.hands
        rules = link_faults(blueprint.scenario.faults)
        self._firing = Firing(*drawn, *told, rules, self.hands.begin_rule)

    # -- Seats -------------------------------------------------------------------------------------

    async def place(self, node: str, epoch: int) -> None:
        seat = Seat(self.blueprint, node, epoch, self.host, on_failure=self._failed)
        self.seats[node], self._epochs[node] = seat, epoch
        if self._firing.tap is not None:
            seat.node.endpoint.rules[FAULTS_OF_NODES] = self._firing.tap
        seat.node.endpoint.heard = self.host.heard_by(node)

    async def ask_each(
        self, nodes: Sequence[str], question: str, *arguments: Any
    ) -> dict[str, Any]:
        answers = {}
        for node in nodes:
            if node in self.host.gates:  # who stands still answers when it goes on
                await self.host.gates[node].passed()
            answers[node] = await self.seats[node].ask(question, *arguments)
            if question == "build":
                self.hands.built(node)
        return answers

    # ----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Let the cluster stand."""
        self.members = await raise_cluster(self.blueprint, self, lambda step: None)
        self._firing.begin()

    async def kill(self, node: str) -> None:
        """The node dies without a word: what it had not synced to its disk may be torn. Raises
        ValueError for a member of a fold, which nobody can lose.
        """
        fold = self.blueprint.plan.fold
        if any(worker.name in fold for worker in self.seats[node].plan.workers):
            raise ValueError(f"{node} is a member of a fold: set cluster.fold: off to let it die")
        self.host.network.kill(node)
        if node in self.host.gates:
            self.host.gates[node].end()
        self.members = [member for member in self.members if member.node != node]
        await self.seats[node].node.crash()
        rng, epoch = self.seats[node].node.rng, self.seats[node].node.epoch
        self.host.disks[node].crash(lambda name: rng.uniform("torn", node, epoch, name))

    async def revive(self, node: str) -> None:
        """The next incarnation of a node that was killed joins, one after the other."""
        async with self._joins:
            living, epoch = self.members, self.seats[node].node.epoch + 1
            members = await raise_again(self, living, {node: epoch})
            died = [one for one in living if one not in self.members]
            for one in died:  # meanwhile: nobody has told the new one
                self.seats[node].node.members.leave(one.node, "it died")
            self.members = [one for one in members if one not in died]

    def _lives(self, node: str) -> bool:
        return any(member.node == node for member in self.members)

    async def scale(self, counts: Mapping[str, int]) -> None:
        """So many nodes of these groups from now on, while the cluster serves; returns when those
        that leave have ended what they had. Raises ScenarioError.
        """
        grown, after = by_steps(self.blueprint, counts)
        epochs = {
            node.name: self._epochs.get(node.name, 0) + 1 for node in added(self.blueprint, grown)
        }
        if epochs:
            self.blueprint = grown
            self.members = await raise_more(self, self.members, grown, epochs)
        leaving = [node.name for node in added(after, grown)]
        if leaving:
            while await busy_with(self, self.members, grown, leaving):
                await self.clock.wait_until(self.clock.now() + LOOK_EVERY_NS)
            self.blueprint = after
            self.members = await part_with(self, self.members, after, leaving)
            for node in leaving:
                del self.seats[node]

    def _failed(self, task: str, error: BaseException) -> None:
        self.failures.append((task, error))

    @property
    def trace(self) -> Trace:
        return self.host.whole_trace

    @property
    def nodes(self) -> dict[str, Node]:
        return {name: seat.node for name, seat in self.seats.items()}

    @property
    def crews(self) -> dict[str, Crew]:
        return {name: seat.crew for name, seat in self.seats.items() if seat.crew is not None}

    @property
    def gateway(self) -> Node:
        return self.seats[self.blueprint.node_of("gateway").name].node

    @property
    def client(self) -> MessageRouterClient:
        return self.crews[self.gateway.name].gateway

    def check_utilisation(self) -> None:
        """Raises Overbooked for the first resource that was used by more than all of it."""
        now_ns = self.clock.now()
        for name, node in self.nodes.items():
            for resource, busy_ns in node.busy_ns().items():
                if busy_ns > now_ns:
                    raise Overbooked(
                        f"{resource} of {name} has worked {busy_ns} ns by {now_ns} ns: a resource "
                        "can give at most its whole time"
                    )

    def check_time(self) -> None:
        """Raises TimeLost for the first resource whose times do not add up."""
        now_ns = self.clock.now()
        for name, node in self.nodes.items():
            found = [*problems(node.usage()), *work_problems(node.hardware.resources, now_ns)]
            if found:
                raise TimeLost(f"{name}: {found[0]}")

    def check_energy(self) -> None:
        """Raises EnergyLost for the first node whose accounts do not add up."""
        for name, node in self.nodes.items():
            reading = node.read_energy()
            if reading is not None and (found := differences(name, reading)):
                raise EnergyLost(found[0])

    async def stop(self) -> None:
        await self._firing.stop()
        for seat in self.seats.values():
            await seat.node.crash()
        for task, error in self.failures:
            raise WorkerFailed(f"{task}: {type(error).__name__}: {error}") from error


def run_virtual(
    blueprint: Blueprint,
    job: Callable[[VirtualWorld], Awaitable[T]],
    *,
    through_frames: bool = False,
) -> T:
    """Let a cluster stand, do `job` in it, take it down; returns what the job returned.

    Raises WorkerFailed if any worker's task failed, VirtualDeadlock if nothing can ever happen
    again, Overbooked if a resource was used by more than all of it, TimeLost or EnergyLost if a
    node's time or what it drew does not add up.
    """
    world = VirtualWorld(blueprint, through_frames=through_frames)

    async def main() -> T:
        try:
            await world.start()
            with little_garbage():
                result = await job(world)
        finally:
            await world.stop()
        world.check_utilisation()
        world.check_time()
        world.check_energy()
        return result

    try:
        return complete(world.clock, main())
    except VirtualDeadlock as deadlock:
        # Most often nobody answers because a worker failed: that is what has to be told.
        for task, error in world.failures:
            raise WorkerFailed(f"{task}: {type(error).__name__}: {error}") from error
        raise deadlock
