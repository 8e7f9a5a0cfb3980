"""Holds a cluster together where no command does: raises it, watches it, tells of it, ends it."""

import asyncio
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ray

from cluster.worlds.folder import own_folder
from cluster.worlds.machines.bundles import counted
from cluster.worlds.machines.endpoint import Endpoint
from cluster.worlds.machines.fault_hands import MachineFaults
from cluster.worlds.machines.files import Inbox, Piece
from cluster.worlds.machines.fleet import Fleet
from cluster.worlds.machines.ground_crew import GroundCrew, address_of
from cluster.worlds.machines.lost_collections import LostCollections
from cluster.worlds.machines.mender import Mender
from cluster.worlds.machines.scaler import Scaler
from cluster.worlds.machines.setup import Setup
from cluster.worlds.raising import END_TIMEOUT_S, ENDING, raise_cluster
from workers.errors import PeerDead
from workers.host.clock.asking import Asker, TimeServer
from workers.host.clock.origin import Origin
from workers.host.clock.source import ClockSource
from workers.host.clock.steering import Reference

if TYPE_CHECKING:
    from cluster.gateway.settings import GatewaySettings

STATUS_S = 5.0


@dataclass(frozen=True, slots=True)
class Upright:
    """What there is once a cluster stands."""

    mender: Mender
    scaler: Scaler
    endpoint: Endpoint
    collections: LostCollections
    faults: MachineFaults


class Keeper:
    """An actor, on the machine of Ray's head; questions of drivers come at any time."""

    def __init__(self, setup: Setup) -> None:
        self._steps: list[str] = []
        address, key = ray.util.get_node_ip_address(), setup.token.encode()
        self._server = TimeServer(address, key, ClockSource.of_environment().read)
        reference = Reference(Origin.now(), Asker(address, self._server.port, key))
        self._machines = GroundCrew(setup, reference)
        self._fleet = Fleet(setup, self._machines)
        self._up: Upright | None = None
        self._stack = ExitStack()
        self._inbox = Inbox(self._stack.enter_context(own_folder()))

    async def lacks(self) -> list[str]:
        """Names of files that this machine does not see: whoever raises the cluster sends them,
        and this machine sends them on, also when that one is gone.
        """
        wanted = self._setup.files
        return [what for what, one in wanted.items() if not await asyncio.to_thread(one.is_here)]

    async def receive(self, what: str, piece: Piece) -> None:
        """See `Inbox.receive`."""
        await asyncio.to_thread(self._inbox.receive, what, piece)

    async def complete(self, what: str) -> None:
        """See `Inbox.complete`."""
        done = await asyncio.to_thread(self._inbox.complete, what, self._setup.files[what])
        self._machines.sources[what] = done

    async def raise_all(self) -> None:
        """Let the cluster stand. Raises what a step of it raised."""
        blueprint = self._setup.blueprint
        members = await raise_cluster(blueprint, self._fleet, self._steps.append)
        pids = await self._fleet.ask_each([member.node for member in members], "pid")
        restarts = blueprint.scenario.cluster.restarts_max
        mender = Mender(self._fleet, members, dict(pids), restarts, self._came_back)
        self._up = Upright(
            mender,
            Scaler(self._fleet, mender, self._steps.append),
            Endpoint(self._fleet, self._gateway, self._gateway_s_address),
            LostCollections(self._fleet),
            MachineFaults(self._fleet, mender),
        )
        mender.begin()

    async def check_reach(self) -> None:
        """Before anything starts: a hand on each machine, and whether each reaches all others.
        Raises ValueError.
        """
        self._steps.append(f"checking {counted(len(self._setup.hosts))}")
        for machine in self._setup.hosts:
            await self._machines.known(machine)
        await self._machines.check_reach()

    async def steps(self, since: int) -> list[str]:
        """What `raise_all` and `scale` are about, from step number `since` on."""
        return self._steps[since:]

    async def setup(self) -> Setup:
        """What the cluster is made from, as it is now."""
        return self._setup

    async def nodes(self) -> list[str]:
        """Names of all that there are now, whether or not they live; not of those that join."""
        nodes = [node.name for node in self._setup.blueprint.plan.nodes]
        return [node for node in nodes if self._upright.scaler.note(node) != "joins"]

    async def faults(self) -> list[str]:
        """What faults of nodes have done."""
        return self._upright.faults.told()

    async def epochs(self) -> dict[str, int]:
        """Of those who live."""
        return {member.node: member.epoch for member in self._upright.mender.members}

    async def status(self) -> dict[str, Any]:
        """Of each node: where it stands, which incarnation, and what it says of itself."""
        up, fleet = self._upright, self._fleet
        living = {member.node: member.epoch for member in up.mender.members}

        async def one(node: str) -> Mapping[str, Any]:
            with suppress(Exception):
                told: Mapping[str, Any] = await fleet.ask(node, "status", timeout_s=STATUS_S)
                return told
            return {}

        nodes = [node.name for node in self._setup.blueprint.plan.nodes]
        said = await asyncio.gather(*(one(node) for node in nodes if node in living))
        by_node = dict(zip([node for node in nodes if node in living], said, strict=True))
        return {
            "url": up.endpoint.url,
            "problem": "; ".join(filter(None, (up.endpoint.problem, up.collections.problem))),
            "nodes": {
                node: {
                    "machine": self._machines.name_of(fleet.where.get(node, "")),
                    "epoch": fleet.epochs.get(node, 0),
                    "restarts": up.mender.num_restarts(node),
                    "gone": up.mender.gone.get(node, ""),
                    "note": up.scaler.note(node),
                    **by_node.get(node, {}),
                }
                for node in nodes
            },
        }

    # -- What changes it ---------------------------------------------------------------------------

    async def serve(self, host: str | None, port: int, settings: "GatewaySettings") -> str:
        """See `Endpoint.serve`."""
        return await self._upright.endpoint.serve(host, port, settings)

    async def serving(self) -> tuple[str, str]:
        """The URL where the gateway listens, or "" and why it does not."""
        return self._upright.endpoint.url, self._upright.endpoint.problem

    async def stop_serving(self) -> None:
        """See `Endpoint.stop`."""
        await self._upright.endpoint.stop()

    async def kill(self, node: str) -> None:
        """The node's process dies without a word."""
        self._fleet.kill(node)
        await self._upright.mender.lose(node, "it was killed")

    async def revive(self, node: str) -> bool:
        """Let a node that is gone come back, whatever the scenario allows; whether it did."""
        mender = self._upright.mender
        return node not in mender.gone or await mender.bring_back(node)

    async def scale(self, counts: Mapping[str, int]) -> None:
        """See `Scaler.scale`."""
        await self._upright.scaler.scale(counts)

    async def end(self) -> None:
        """Take everything down but this actor, whatever stands of it."""
        if self._up is not None:
            await self._up.faults.end()
            await self._up.scaler.end()
            self._up.endpoint.end()
            self._up.collections.end()
            self._up.mender.end()
            for question in ENDING:
                await self._fleet.end(question, END_TIMEOUT_S[question])
        self._fleet.kill_all()
        await self._machines.end(END_TIMEOUT_S["stop"])
        self._server.close()
        self._stack.close()

    async def _came_back(self, node: str, is_elsewhere: bool) -> None:
        knows_nothing = not self._setup.blueprint.scenario.cluster.keeps_journal
        is_router = node == self._setup.blueprint.node_of("router").name
        has_lost = is_elsewhere or (is_router and knows_nothing)
        self._upright.collections.came_back(node, has_lost)
        if node == self._gateway:
            self._upright.endpoint.came_back()

    def _gateway_s_address(self) -> str:
        return address_of(self._fleet.where[self._gateway])

    @property
    def _upright(self) -> Upright:
        if self._up is None:
            raise PeerDead(
                f"cluster {self._setup.name!r} does not stand yet, or not any more", node=""
            )
        return self._up

    @property
    def _setup(self) -> Setup:
        return self._fleet.setup

    @property
    def _gateway(self) -> str:
        return self._setup.blueprint.node_of("gateway").name
