"""Faults that come and go while a cluster runs: told to the gateway, which tells every other node.

    POST ──▶ gateway's node ── faults 3 ──▶ every other node: puts them in, takes others out
    200  ◀──                ◀── faults stand 3 ──

A fault stands everywhere before it is answered. The gateway's node alone remembers what was told;
a node that joins hears of it, and the gateway's next incarnation begins with the scenario's.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cluster.faults.posted import PostedFaults
from cluster.faults.problems import problems_of
from cluster.faults.standing import StandingFaults
from cluster.faults.written import read_any, read_fault, write_fault
from configs.nearest import nearest
from configs.schema import Scenario
from configs.schema.faults import (
    OF_NODES,
    FaultRule,
    LatencyFault,
    NodeFault,
    link_faults,
    node_faults,
)
from workers.errors import InvalidRequest, NotFound
from workers.node import Node
from workers.wire.kinds.faults import Faults, FaultsStand
from workers.wire.membership import Member
from workers.wire.peer import Peer

FAULTS_MAX = 1024  # at once: every message asks each of them


class FollowedFaults:
    """On every node but the gateway's: what it is told stands in its links."""

    def __init__(self, node: Node, standing: StandingFaults) -> None:
        self._notes, self._standing = node.endpoint.notes, standing
        self._notes.hear[Faults] = self._told

    def _told(self, peer: Peer, note: Faults) -> None:
        self._standing.become({name: read_fault(body) for name, body in note.faults.items()})
        self._notes.tell(peer, FaultsStand(note.number))


class FaultControl:
    """On the gateway's node: the faults of the whole cluster. Those of nodes wait in `posted`.

    directory   worker -> node, of the whole cluster
    """

    def __init__(
        self,
        node: Node,
        scenario: Scenario,
        directory: Mapping[str, str],
        standing: StandingFaults,
    ) -> None:
        self._node, self._scenario, self._directory = node, scenario, directory
        self._standing = standing
        self._faults = link_faults(scenario.faults)
        self.posted = PostedFaults(node_faults(scenario.faults))
        self._number = 0
        self._num_named = len(self._faults)
        self._stands: dict[str, int] = {}  # node -> number of what stands there
        self._changed = asyncio.Event()
        node.endpoint.notes.hear[FaultsStand] = self._stands_at
        node.members.on_join.append(self._joined)
        node.members.on_leave.append(lambda member, reason: self._changed.set())

    def become(self, scenario: Scenario) -> None:
        """The cluster has these nodes from now on: faults may name them, and no others."""
        self._scenario = scenario

    def begin(self) -> None:
        """A predecessor may have told the others of faults that nobody here knows."""
        if self._node.epoch > 1:
            self._tell_all()

    def all(self) -> Sequence[dict[str, Any]]:
        """Every fault that stands, those of the scenario first."""
        return [write_fault(_called(fault, name)) for name, fault in self._faults.items()]

    async def add(self, body: object) -> dict[str, Any]:
        """Let one more stand; its start counts from now. Returns it as it stands, when it stands
        on every node that lives. Raises InvalidRequest.
        """
        try:
            fault = read_any(body)
        except ValueError as error:
            raise InvalidRequest(str(error)) from error
        if isinstance(fault, OF_NODES):
            return self._post(fault)
        problems = self._problems(fault)
        if problems:
            raise InvalidRequest("; ".join(problems))
        name = fault.name or self._next_name()
        # Whoever asks comes from outside: no event of the cluster says what time it is.
        start_ns = self._node.clock.wall_now() + fault.start_ns
        stands = _called(fault, name).model_copy(update={"start_ns": start_ns})
        self._faults[name] = stands
        await self._all_take_up()
        return write_fault(stands)

    def _post(self, fault: NodeFault) -> dict[str, Any]:
        """Of a node: it happens `start` after whoever has the hands hears of it, and is no more to
        be taken back than what has happened.
        """
        problems = problems_of(fault, self._scenario, self._directory)
        problems += self.posted.problems(fault)
        if problems:
            raise InvalidRequest("; ".join(problems))
        return write_fault(self.posted.put(fault))

    async def remove(self, name: str) -> None:
        """Returns when it stands on no node that lives. Raises NotFound."""
        if name not in self._faults:
            raise NotFound(f"no fault is called {name!r:.80}: {nearest(name[:80], self._faults)}")
        del self._faults[name]
        await self._all_take_up()

    def _problems(self, fault: FaultRule) -> list[str]:
        if isinstance(fault, LatencyFault) and fault.attributes.path is not None:
            return [
                "attributes.path: names a file, and no file of the cluster's machines is read for "
                "whoever asks: send attributes.delays, the delays themselves"
            ]
        problems = problems_of(fault, self._scenario, self._directory)
        if fault.name in self._faults:
            problems.append(
                f"name: {fault.name!r} is another's: remove that first, or choose another name"
            )
        if len(self._faults) >= FAULTS_MAX:
            problems.append(f"{FAULTS_MAX} faults stand, which is the most: remove some first")
        return problems

    def _next_name(self) -> str:
        while True:
            name = f"fault-{self._num_named}"
            self._num_named += 1
            if name not in self._faults:
                return name

    # -- the other nodes ---------------------------------------------------------------------------

    async def _all_take_up(self) -> None:
        self._tell_all()
        number = self._number
        while self._lacking(number):
            self._changed.clear()
            await self._changed.wait()

    def lacking(self) -> Sequence[str]:
        """Nodes that have not said yet that what was told last stands there."""
        return self._lacking(self._number)

    def _lacking(self, number: int) -> list[str]:
        others = (node for node in self._node.endpoint.peers if node != self._node.name)
        return [node for node in others if self._stands.get(node, 0) < number]

    def _tell_all(self) -> None:
        self._number += 1
        self._standing.become(self._faults)
        self._tell(self._node.endpoint.peers.values())

    def _tell(self, peers: Iterable[Peer]) -> None:
        bodies = {name: write_fault(fault) for name, fault in self._faults.items()}
        for peer in peers:
            self._node.endpoint.notes.tell(peer, Faults(self._number, bodies))

    def _stands_at(self, peer: Peer, note: FaultsStand) -> None:
        self._stands[peer.node] = note.number
        self._changed.set()

    def _joined(self, member: Member) -> None:
        """It stands with the scenario's, until it hears what was told since."""
        self._stands.pop(member.node, None)
        if self._number:
            self._tell([self._node.endpoint.peers[member.node]])


def _called(fault: FaultRule, name: str) -> FaultRule:
    return fault.model_copy(update={"name": name})
