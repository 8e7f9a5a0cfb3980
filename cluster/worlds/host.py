"""What a world gives a node to stand on: the one thing in which worlds differ."""

import sys
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cluster.network.problems import network_of
from cluster.worlds.blueprint import Blueprint
from configs.schema import ClusterSection
from workers.experts.ranks import RankedNodes
from workers.host.aside import Aside
from workers.host.clock.base import Clock
from workers.host.clock.live import LiveClock
from workers.host.clock.origin import Origin
from workers.host.clock.steering import Correction
from workers.host.disk import Disk, FolderDisk
from workers.host.garbage import Garbage
from workers.host.trace import Trace
from workers.wire.fabric.counts import NetworkCounts
from workers.wire.fabric.fabric import Fabric
from workers.wire.mail import Handover, Mail
from workers.wire.transport.memory import MemoryNetwork, MemoryTransport

if TYPE_CHECKING:
    from cluster.worlds.folding import ClusterFold

# An event loop that wants Python's lock back from a thread gets it so soon; Python's own 5 ms, once
# for each of the few waits on a token's way, would show in the gaps of a stream.
SWITCH_S = 0.0005


class Host(Protocol):
    """Clock, wire, disk, trace and threads of the nodes that stand on it."""

    @property
    def clock(self) -> Clock: ...

    @property
    def thread(self) -> Executor | None: ...

    @property
    def aside(self) -> Aside | None: ...

    @property
    def machine(self) -> str:
        """Which of several it is on; "" where there is one."""
        ...

    def mail(self, node: str) -> Mail:
        """A new wire for an incarnation of a node."""
        ...

    def clock_of(self, node: str) -> Clock:
        """The clock of the incarnation whose wire was made last."""
        ...

    def disk(self, node: str) -> Disk:
        """The node's disk: what is synced there is there for its next incarnation."""
        ...

    def trace(self, node: str) -> Trace: ...

    def become(self, cluster: ClusterSection) -> None:
        """The cluster has these nodes from now on."""
        ...

    def ranked(self, blueprint: Blueprint) -> RankedNodes | None:
        """The nodes whose tokens for experts cross shared memory; None: they go as messages."""
        ...

    def fabric(self, blueprint: Blueprint) -> Fabric | None:
        """What lies between the nodes' own links, the same for all of them; None: nothing."""
        ...

    def fold(self, blueprint: Blueprint) -> "ClusterFold | None":
        """The object that computes steps of its members; None: every chip does its own."""
        ...

    def network_counts(self) -> NetworkCounts | None:
        """What has crossed it, as far as this host knows; None where there is none."""
        ...

    def correction(self) -> Correction | None:
        """How the machine's clock is corrected; None: it is the cluster's own."""
        ...

    def stands(self) -> None:
        """A node has all that it will keep."""
        ...

    def close(self) -> None:
        """When no node stands on it any more."""
        ...


class LiveHost:
    """The wall clock, a compute thread, threads for what users send, disks in `folder`. Made
    inside the event loop in which the nodes will live.
    """

    machine = ""

    def __init__(self, cluster: ClusterSection, origin: Origin, folder: Path) -> None:
        begun_ns, dilation = origin.monotonic_ns, cluster.dilation
        self.clock = LiveClock(begun_ns, dilation, emulated=cluster.emulation)
        self.thread = ThreadPoolExecutor(1, "compute")
        self.aside = Aside("aside")
        self._garbage = Garbage()
        sys.setswitchinterval(SWITCH_S)
        self._folder = folder
        self._fabric: Fabric | None = None
        self._disks: dict[str, FolderDisk] = {}

    def disk(self, node: str) -> Disk:
        if node in self._disks:
            self._disks[node].close()  # no thread of the last incarnation writes to the next one's
        disk = self._disks[node] = FolderDisk(self._folder / node)
        return disk

    def clock_of(self, node: str) -> Clock:
        return self.clock

    def trace(self, node: str) -> Trace:
        return Trace()

    def become(self, cluster: ClusterSection) -> None:
        """See Host; only where wires are chosen by node is there anything to learn."""

    def ranked(self, blueprint: Blueprint) -> RankedNodes | None:
        return None

    def fabric(self, blueprint: Blueprint) -> Fabric | None:
        self._fabric = self._fabric or self._make_fabric(blueprint)
        return self._fabric

    def _make_fabric(self, blueprint: Blueprint) -> Fabric | None:
        """Of nodes that are all in this process."""
        return make_fabric(blueprint, self.clock)

    def network_counts(self) -> NetworkCounts | None:
        return None if self._fabric is None else self._fabric.counts()

    def fold(self, blueprint: Blueprint) -> "ClusterFold | None":
        return None  # its members would share one thread

    def correction(self) -> Correction | None:
        return None

    def stands(self) -> None:
        self._garbage.begin()

    def close(self) -> None:
        self.thread.shutdown(wait=False, cancel_futures=True)
        self.aside.close()
        for disk in self._disks.values():
            disk.close()
        self._garbage.end()
        self.clock.close()


class ProcessHost(LiveHost):
    """All nodes of a cluster share this process and its memory."""

    def __init__(self, cluster: ClusterSection, folder: Path) -> None:
        super().__init__(cluster, Origin.now(), folder)
        self.network = MemoryNetwork()

    def mail(self, node: str) -> Mail:
        return Mail(MemoryTransport(self.network, node), Handover())


def make_fabric(blueprint: Blueprint, clock: Clock) -> Fabric | None:
    """Of nodes that are all in this process."""
    network = network_of(blueprint.scenario)
    return None if network is None else Fabric(network.section, network, clock)
