"""What a node stands on that has a process to itself, and wires to all others."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cluster.network.problems import network_of
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.host import LiveHost
from cluster.worlds.ranked import ranked_nodes
from configs.certificates import read_certificates
from configs.schema import ClusterSection
from configs.schema.wires import LOOPBACK, Wire, WireChoice, wire_of_machines
from workers.experts.ranks import RankedNodes
from workers.host.clock.origin import Origin
from workers.host.clock.steering import Correction, Reference, Steering
from workers.host.limited_disk import LimitedDisk
from workers.wire.fabric.shared.course import courses
from workers.wire.fabric.shared.fabric import SharedFabric
from workers.wire.fabric.shared.links import SharedLinks
from workers.wire.fabric.shared.segment import Segment
from workers.wire.mail import Frames, Mail
from workers.wire.transport.base import Transport
from workers.wire.transport.several import SeveralWires

# The network's segment, among what the nodes of a machine share.
NETWORK = "network"
# A message has its place among others though its sender's process tells of it so much later: event
# loops that wait for a processor are late by tenths of a second at most.
GRACE_WALL_NS = 1_000_000_000
# Between two reports of one machine to the others. Messages of microseconds have ended by then:
# sooner would be nearer to the truth, and would wake each machine as often for every other one.
REPORT_WALL_NS = 50_000_000


@dataclass(frozen=True, slots=True)
class Ground:
    """What the nodes of a cluster of processes share on one machine.

    folder         of disks and sockets
    token          the cluster's secret
    certificates   folder of the cluster's: ports of `address`, with TLS, instead of the sockets
                   that do for processes of one machine
    segments       folder in shared memory, of a wire that makes names there, and of a network
    """

    folder: Path
    token: str = field(repr=False)
    certificates: Path | None = None
    segments: Path | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a machine is among several.

    name      of the machine, the same for all nodes on it and for no others
    address   of it, where the others reach it
    devices   network devices that UCX may use
    far       the wire between two machines, where the scenario leaves it open
    time      the clock that all of them go by
    """

    name: str
    address: str
    devices: str
    far: Wire
    time: Reference


class WireHost(LiveHost):
    """One node has this process to itself, and a wire to all others, which are on this machine."""

    def __init__(self, cluster: ClusterSection, origin: Origin, ground: Ground) -> None:
        super().__init__(cluster, origin, ground.folder)
        self._ground, self._cluster = ground, cluster
        self._shared: SharedFabric | None = None

    def mail(self, node: str) -> Mail:
        names = self._cluster.wires
        if len(names) == 1:
            return Mail(self._wire(names[0], node), Frames())
        wire_to = self._cluster.wires_of(node)
        wires = self._wires(set(wire_to.values()), node)
        return Mail(SeveralWires(node, wires, lambda peer, _: wire_to[peer]), Frames())

    def disk(self, node: str) -> LimitedDisk:
        """Which a fault can fill."""
        return LimitedDisk(super().disk(node))

    def ranked(self, blueprint: Blueprint) -> RankedNodes | None:
        sizes = ranked_nodes(blueprint)
        if sizes is None:
            return None
        nodes, geometry = sizes
        return RankedNodes(nodes, geometry, self._ground.token.encode())

    def _make_fabric(self, blueprint: Blueprint) -> SharedFabric | None:
        """What this machine's nodes know of it stands in a segment that they share."""
        network, ground = network_of(blueprint.scenario), self._ground
        if network is None:
            return None
        place = (ground.segments or ground.folder) / NETWORK
        first, course_of = courses(network.section)
        segment = Segment(place, first.saved())
        grace_ns = int(GRACE_WALL_NS / self._cluster.dilation)
        links = SharedLinks(self.clock, segment, course_of, grace_ns)
        own = {node.name: node.link for node in blueprint.plan.nodes}
        period_ns = int(REPORT_WALL_NS / self._cluster.dilation)
        self._shared = SharedFabric(
            network.section, network, self.clock, links, own, self.machine, period_ns
        )
        return self._shared

    def close(self) -> None:
        if self._shared is not None:
            self._shared.close()
        super().close()

    def _wires(self, names: Iterable[Wire], node: str) -> dict[str, Transport]:
        return {name: self._wire(name, node) for name in sorted(names)}

    def _wire(self, name: Wire, node: str) -> Transport:
        # Only here: a world in one process need not load any, and UCX may not be installed.
        ground = self._ground
        at: Any = {"token": ground.token, "folder": ground.folder}
        if name == "shm":
            from workers.wire.transport.shm import ShmTransport

            return ShmTransport(node, **at)
        if name == "ucx":
            from workers.wire.transport.ucx import UcxTransport

            return UcxTransport(node, segments=ground.segments, **at, **self._ucx())
        from workers.wire.transport.grpc import GrpcTransport

        if ground.certificates is None:
            return GrpcTransport(node, unix=True, **at)
        shown = read_certificates(ground.certificates, self._address)
        return GrpcTransport(node, host=self._address, certificates=shown, **at)

    @property
    def _address(self) -> str:
        """Where this machine's ports are reached."""
        return LOOPBACK

    def _ucx(self) -> dict[str, Any]:
        """How UCX reaches the others."""
        return {"unix": True}


class PlacedHost(WireHost):
    """The same on one of several machines, whose clock is not that of the others."""

    def __init__(self, cluster: ClusterSection, ground: Ground, place: Place) -> None:
        origin = place.time.origin
        super().__init__(cluster, origin, ground)
        self._place, self.machine = place, place.name
        self._choices = _choices(cluster)
        self._steering: Steering | None = None
        if not origin.is_here:
            try:
                self._steering = Steering(self.clock, place.time)
            except BaseException:
                super().close()
                raise

    def mail(self, node: str) -> Mail:
        place, choices = self._place, self._choices
        own = choices[node]

        def wire_to(peer: str, machine: str) -> Wire:
            is_here = machine == place.name
            return wire_of_machines(own, choices[peer], share_a_machine=is_here, far=place.far)

        possible = {
            wire_of_machines(own, other, share_a_machine=is_here, far=place.far)
            for other in choices.values()
            for is_here in (True, False)
        }
        wires = self._wires(possible, node)
        return Mail(SeveralWires(node, wires, wire_to, place.name), Frames())

    def become(self, cluster: ClusterSection) -> None:
        self._choices.update(_choices(cluster))  # its nodes are more of groups that were there

    def ranked(self, blueprint: Blueprint) -> RankedNodes | None:
        return None  # not all of them share memory

    def correction(self) -> Correction | None:
        return None if self._steering is None else self._steering.correction()

    def close(self) -> None:
        if self._steering is not None:
            self._steering.close()
        super().close()

    @property
    def _address(self) -> str:
        return self._place.address

    def _ucx(self) -> dict[str, Any]:
        return {"host": self._place.address, "devices": self._place.devices, "apart": True}


def _choices(cluster: ClusterSection) -> dict[str, WireChoice]:
    """What the scenario says of each node's wire."""
    return {
        name: cluster.choice_of(group_name)
        for group_name, group in cluster.nodes.items()
        for name in group.node_names(group_name)
    }
