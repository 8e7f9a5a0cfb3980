"""What a node of the virtual world stands on: one event loop, no threads, exact time."""

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from functools import partial
from typing import TYPE_CHECKING, Any

from cluster.faults.firing import nodes_of
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.host import make_fabric
from configs.schema import ClusterSection
from configs.schema.faults import ClockSkewFault, DiskFullFault, NodeFault, PauseFault
from workers.experts.ranks import RankedNodes
from workers.host.aside import Aside
from workers.host.clock.base import Clock
from workers.host.clock.steering import Correction
from workers.host.clock.virtual import VirtualClock
from workers.host.disk import Disk, MemoryDisk
from workers.host.gate import Gate, GatedClock
from workers.host.limited_disk import LimitedDisk
from workers.host.skew import Skew, SkewedClock
from workers.host.trace import Trace
from workers.wire.fabric.counts import NetworkCounts
from workers.wire.fabric.fabric import Fabric
from workers.wire.gated_mail import GatedMail
from workers.wire.mail import Codec, Handover, Mail, WholeFrames
from workers.wire.message import Message
from workers.wire.skewed import heard
from workers.wire.transport.memory import MemoryNetwork, MemoryTransport

if TYPE_CHECKING:
    from cluster.worlds.folding import ClusterFold


class VirtualHost:
    """One event loop, no threads, exact time; all nodes of a cluster share it.

    through_frames   encode and decode every message, as on a real wire
    stopped, filled, skewed  nodes that may be stopped, whose disk may be full, whose clock may be
                     wrong: these have a gate, a limited disk, a clock of their own; all others are
                     as they would be without
    """

    thread: Executor | None = None
    aside: Aside | None = None
    machine = ""

    def __init__(
        self,
        clock: VirtualClock,
        *,
        through_frames: bool = False,
        stopped: frozenset[str] = frozenset(),
        filled: frozenset[str] = frozenset(),
        skewed: frozenset[str] = frozenset(),
    ) -> None:
        self.clock, self._stopped, self._filled = clock, stopped, filled
        self.skews = {node: Skew() for node in sorted(skewed)}  # whichever incarnation
        self.gates: dict[str, Gate] = {}  # of the incarnations that were placed last
        self.limited: dict[str, LimitedDisk] = {}
        self.network = MemoryNetwork()
        self.whole_trace = Trace(hashed=True)
        self.disks: dict[str, MemoryDisk] = {}
        self._fabric: Fabric | None = None
        self._fold: ClusterFold | None = None
        self._codec: Codec = WholeFrames() if through_frames else Handover()

    def mail(self, node: str) -> Mail:
        transport = MemoryTransport(self.network, node)
        if node not in self._stopped:
            return Mail(transport, self._codec)
        gate = self.gates[node] = Gate(self.clock)
        return GatedMail(transport, self._codec, gate)

    def clock_of(self, node: str) -> Clock:
        clock: Clock = self.clock
        if node in self._stopped:
            clock = GatedClock(clock, self.gates[node])
        return SkewedClock(clock, self.skews[node]) if node in self.skews else clock

    def heard_by(self, node: str) -> Callable[[str, Message[Any]], Message[Any]] | None:
        """How a node takes moments that others tell it; None: as they are said."""
        return partial(heard, self.clock, self.skews, node) if self.skews else None

    def disk(self, node: str) -> Disk:
        disk = self.disks.setdefault(node, MemoryDisk())
        if node not in self._filled:
            return disk
        return self.limited.setdefault(node, LimitedDisk(disk))

    def trace(self, node: str) -> Trace:
        return self.whole_trace

    def become(self, cluster: ClusterSection) -> None:
        """Whoever is there is found by its address."""

    def ranked(self, blueprint: Blueprint) -> RankedNodes | None:
        return None  # what is exact is told of

    def fabric(self, blueprint: Blueprint) -> Fabric | None:
        self._fabric = self._fabric or make_fabric(blueprint, self.clock)
        return self._fabric

    def fold(self, blueprint: Blueprint) -> "ClusterFold | None":
        if self._fold is None and blueprint.plan.fold.is_on:
            from cluster.worlds.folding import make_fold

            self._fold = make_fold(blueprint, self.clock)
        return self._fold

    def network_counts(self) -> NetworkCounts | None:
        return None if self._fabric is None else self._fabric.counts()

    def correction(self) -> Correction | None:
        return None

    def stands(self) -> None:
        """Whoever runs the world looks after its garbage."""

    def close(self) -> None:
        """Nothing to let go of."""


def host_for(
    faults: Mapping[str, NodeFault],
    directory: Mapping[str, str],
    clock: VirtualClock,
    through_frames: bool,
) -> VirtualHost:
    """One on which these faults of nodes can happen; `directory`: worker -> node."""
    return VirtualHost(
        clock,
        through_frames=through_frames,
        stopped=nodes_of(faults, PauseFault, directory),
        filled=nodes_of(faults, DiskFullFault, directory),
        skewed=nodes_of(faults, ClockSkewFault, directory),
    )
