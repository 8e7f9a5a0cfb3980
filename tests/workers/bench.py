"""Bare nodes on one memory network in virtual time: what the tests of a node's parts stand on."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from configs.precision import EXACT
from configs.schema.device import DeviceSpec, TierSpec
from configs.schema.link import LinkSpec
from workers.host.clock.virtual import VirtualClock, virtual_loop
from workers.host.disk import MemoryDisk
from workers.host.rng import Rng
from workers.host.trace import Trace
from workers.node import Node
from workers.wire.link import Peer
from workers.wire.port import Port
from workers.wire.transport.memory import MemoryNetwork, MemoryTransport

T = TypeVar("T")

# A byte a nanosecond and 1 us on the way: numbers to reckon with by hand.
BYTES_PER_S = 1_000_000_000
LATENCY_NS = 1_000
SECOND_NS = 1_000_000_000


def make_link(latency_ns: int = LATENCY_NS, bytes_per_s: int = BYTES_PER_S) -> LinkSpec:
    return LinkSpec(name="test", latency_ns=latency_ns, bytes_per_s=bytes_per_s, pj_per_bit=2.0)


def make_tier(**changes: object) -> TierSpec:
    """1 byte/ns each way, bytes one by one, no latency."""
    values: dict[str, object] = {
        "capacity_bytes": 1 << 30,
        "read_bytes_per_s": BYTES_PER_S,
        "write_bytes_per_s": BYTES_PER_S,
        "read_latency_ns": 0,
        "write_latency_ns": 0,
        "page_bytes": 1,
        "queue_depth": 1 << 20,
        "read_pj_per_bit": 1.0,
        "write_pj_per_bit": 3.0,
    }
    return TierSpec.model_validate(values | changes)


def make_device(tiers: Mapping[str, TierSpec] | None = None, **changes: object) -> DeviceSpec:
    """1 operation/ns, launches are free."""
    values: dict[str, object] = {
        "name": "test",
        "compute": {"fp32": BYTES_PER_S},
        "tiers": dict(tiers or {"hbm": make_tier()}),
        "default_tier": "hbm",
        "tdp_watts": 100.0,
        "flop_pj": 0.5,
    }
    return DeviceSpec.model_validate(values | changes)


class Bench:
    """Nodes by name. `directory`: worker -> node; a name alone is worker and node at once.

    failures   tasks that ended with an error nobody waited for; `run` raises the first unless told
               otherwise
    """

    def __init__(
        self,
        *names: str,
        directory: Mapping[str, str] | None = None,
        links: Mapping[str, LinkSpec] | None = None,
        device: DeviceSpec | None = None,
        through_frames: bool = False,
        seed: int = 0,
    ) -> None:
        self.directory = dict(directory or {name: name for name in names})
        self.clock, self.trace = VirtualClock(), Trace(hashed=True)
        self.network = MemoryNetwork()
        self.nodes: dict[str, Node] = {}
        self.transports: dict[str, MemoryTransport] = {}
        self.failures: list[tuple[str, BaseException]] = []
        node_names = list(dict.fromkeys(self.directory.values()))
        link_of = {name: (links or {}).get(name, make_link()) for name in node_names}
        for name in node_names:
            transport = MemoryTransport(self.network, name, through_frames=through_frames)
            self.transports[name] = transport
            self.nodes[name] = Node(
                name,
                epoch=1,
                clock=self.clock,
                device=device or make_device(),
                link=link_of[name],
                transport=transport,
                directory=self.directory,
                peers={other: Peer(link_of[other], epoch=1) for other in node_names},
                disk=MemoryDisk(),
                rng=Rng(seed),
                trace=self.trace,
                precision=EXACT,
                on_failure=lambda task, error: self.failures.append((task, error)),
            )

    def node(self, worker: str) -> Node:
        return self.nodes[self.directory[worker]]

    def port(self, worker: str) -> Port:
        return self.node(worker).port(worker)

    async def kill(self, name: str) -> None:
        self.network.kill(name)
        await self.nodes[name].crash()

    def run(self, job: Callable[["Bench"], Awaitable[T]], *, failures_expected: bool = False) -> T:
        """Connect all nodes, do the job, take them down."""
        loop = virtual_loop(self.clock)

        async def main() -> T:
            addresses = {}
            for name, node in self.nodes.items():
                endpoint = node.endpoint
                start = self.transports[name].start
                addresses[name] = await start(endpoint.receive, endpoint.peer_died)
            for transport in self.transports.values():
                await transport.connect(addresses)
            try:
                return await job(self)
            finally:
                for node in self.nodes.values():
                    await node.crash()

        try:
            result = loop.run_until_complete(main())
        finally:
            loop.close()
        if self.failures and not failures_expected:
            task, error = self.failures[0]
            raise AssertionError(f"task {task} failed") from error
        return result


def run_alone(job: Callable[[VirtualClock], Awaitable[T]], clock: VirtualClock | None = None) -> T:
    """A job in a virtual loop without any node."""
    clock = clock or VirtualClock()
    loop = virtual_loop(clock)

    async def main() -> T:
        return await job(clock)

    try:
        return loop.run_until_complete(main())
    finally:
        loop.close()
