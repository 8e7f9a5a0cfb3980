"""Bare nodes on one memory network in virtual time: what the tests of a node's parts stand on."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeVar

from configs.schema.device import DeviceSpec, Sharing, TierSpec
from configs.schema.link import LinkSpec
from workers.experts.ranks import RankedNodes
from workers.host.clock.base import Clock
from workers.host.clock.live import LiveClock
from workers.host.clock.virtual import VirtualClock, virtual_loop
from workers.host.disk import MemoryDisk
from workers.host.rng import Rng
from workers.host.trace import Trace
from workers.model.numerics import EXACT_NUMERICS, Numerics
from workers.node import Node
from workers.wire.fabric.fabric import Fabric
from workers.wire.mail import Handover, Mail, WholeFrames
from workers.wire.membership import Member, Membership
from workers.wire.port import Port
from workers.wire.transport.memory import MemoryNetwork, MemoryTransport

T = TypeVar("T")

# A byte a nanosecond and 1 us on the way: numbers to reckon with by hand.
BYTES_PER_S = 1_000_000_000
LATENCY_NS = 1_000
SECOND_NS = 1_000_000_000


def make_link(
    latency_ns: int = LATENCY_NS, bytes_per_s: int = BYTES_PER_S, sharing: Sharing = "fair"
) -> LinkSpec:
    return LinkSpec(
        name="test",
        latency_ns=latency_ns,
        bytes_per_s=bytes_per_s,
        pj_per_bit=2.0,
        sharing=sharing,
    )


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

    clock      virtual unless told otherwise; a live one's loop runs already: await `stand`
    fabric     of all nodes; `each_fabric`: one more is made for each, as if they were processes
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
        numerics: Numerics = EXACT_NUMERICS,
        clock: VirtualClock | LiveClock | None = None,
        ranked: RankedNodes | None = None,
        fabric: Callable[[Clock], Fabric] | None = None,
        each_fabric: bool = False,
    ) -> None:
        self.directory = dict(directory or {name: name for name in names})
        self.clock, self.trace = clock or VirtualClock(), Trace(hashed=True)
        self.network = MemoryNetwork()
        self.nodes: dict[str, Node] = {}
        self.mails: dict[str, Mail] = {}
        self.members: dict[str, Member] = {}
        self.failures: list[tuple[str, BaseException]] = []
        self._links, self._device = dict(links or {}), device or make_device()
        self._through_frames, self._seed, self._numerics = through_frames, seed, numerics
        self._ranked = ranked
        self._make_fabric = fabric if each_fabric else None
        self.fabric = None if fabric is None else fabric(self.clock)
        for name in dict.fromkeys(self.directory.values()):
            self._place(name, 1)

    def _place(self, name: str, epoch: int) -> Node:
        codec = WholeFrames() if self._through_frames else Handover()
        mail = self.mails[name] = Mail(MemoryTransport(self.network, name), codec)
        self.nodes[name] = Node(
            name,
            epoch=epoch,
            clock=self.clock,
            device=self._device,
            link=self._links.get(name, make_link()),
            mail=mail,
            members=Membership(self.directory),
            disk=MemoryDisk(),
            rng=Rng(self._seed),
            trace=self.trace,
            numerics=self._numerics,
            ranked=self._ranked,
            fabric=self._make_fabric(self.clock) if self._make_fabric else self.fabric,
            on_failure=lambda task, error: self.failures.append((task, error)),
        )
        return self.nodes[name]

    def node(self, worker: str) -> Node:
        return self.nodes[self.directory[worker]]

    def port(self, worker: str) -> Port:
        return self.node(worker).port(worker)

    async def kill(self, name: str) -> None:
        self.network.kill(name)
        await self.nodes[name].crash()

    async def _listen(self, name: str) -> Member:
        node = self.nodes[name]
        endpoint = node.endpoint
        address = await self.mails[name].start(endpoint.receive, endpoint.peer_died)
        ranks = node.ranks.address if node.ranks is not None else ""
        return Member(name, node.epoch, node.endpoint.link, address, ranks)

    async def _meet(self, name: str, members: Iterable[Member]) -> None:
        others = [member for member in members if member.node != name]
        await self.mails[name].connect({m.node: m.address for m in others})
        for member in others:
            self.nodes[name].members.join(member)

    async def restart(self, name: str) -> Node:
        """Its next incarnation, without handlers yet; the others meet it."""
        await self.kill(name)
        node = self._place(name, self.nodes[name].epoch + 1)
        new = await self._listen(name)
        others = [member for member in self.members.values() if member.node != name]
        self.members[name] = new
        await self._meet(name, others)
        for other in others:
            await self._meet(other.node, [new])
        return node

    async def stand(self, job: Callable[["Bench"], Awaitable[T]]) -> T:
        """The same in a loop that runs."""
        self.members = {name: await self._listen(name) for name in self.nodes}
        for name in self.nodes:
            await self._meet(name, self.members.values())
        try:
            return await job(self)
        finally:
            for node in self.nodes.values():
                await node.crash()

    def run(self, job: Callable[["Bench"], Awaitable[T]], *, failures_expected: bool = False) -> T:
        """Connect all nodes, do the job, take them down."""
        assert isinstance(self.clock, VirtualClock), "whoever has a loop awaits `stand`"
        loop = virtual_loop(self.clock)
        try:
            result = loop.run_until_complete(self.stand(job))
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
