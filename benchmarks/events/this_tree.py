"""The adapter for this tree."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.events.cluster import DEVICE, LINK, TIMEOUT_NS, Cluster, Rows
from configs.schema import load_device, load_link
from configs.schema.device import Sharing
from configs.schema.link import LinkSpec
from workers.experts.combine import Dispatched
from workers.experts.routing import RoutingTable
from workers.experts.tokens import Tokens
from workers.hardware.work import Work
from workers.host.clock.virtual import VirtualClock, virtual_loop
from workers.host.disk import MemoryDisk
from workers.host.garbage import little_garbage
from workers.host.rng import Rng
from workers.host.trace import Trace
from workers.model.numerics import EXACT_NUMERICS
from workers.node import Node
from workers.wire.fabric.fabric import Fabric
from workers.wire.mail import Handover, Mail
from workers.wire.membership import Member, Membership
from workers.wire.transport.memory import MemoryNetwork, MemoryTransport

T = TypeVar("T")


class _Machine:
    def __init__(self, node: Node) -> None:
        self._node = node

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> Awaitable[None]:
        return self._node.spawn(coroutine, "work")

    async def launch(self) -> None:
        await self._node.hardware.run(Work("launch"), lambda: None)


class _Chip(_Machine):
    def __init__(self, node: Node, shards: Sequence[str], owners: Sequence[int]) -> None:
        super().__init__(node)
        placed = {expert: shards[owner] for expert, owner in enumerate(owners)}
        self._table = RoutingTable.of(placed, shards)
        self._side = node.dispatch_side(node.name)

    async def exchange(self, layer: int, rows: Rows) -> NDArray[np.float64]:
        tokens = Tokens(
            layer,
            self._node.name,
            rows.requests_T,
            rows.positions_T,
            rows.hidden_TH,
            rows.experts_TK,
            rows.weights_TK,
        )
        handle = await self._side.dispatch_send(tokens, self._table, TIMEOUT_NS)
        combined = await self._side.combine_receive(handle)
        assert not combined.missing, "nobody died"
        return combined.sums_TH


class _Shard(_Machine):
    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._side = node.combine_side(node.name)

    async def receive(self) -> Sequence[Dispatched]:
        return await self._side.dispatch_receive()

    async def answer(self, batch: Sequence[Dispatched], sums_tH: NDArray[np.float64]) -> None:
        await self._side.combine_send(batch, [sums_tH] * len(batch))


def _nodes(
    names: Sequence[str],
    link: LinkSpec,
    clock: VirtualClock,
    trace: Trace,
    failures: list[BaseException],
    fabric: Fabric | None = None,
) -> tuple[dict[str, Node], dict[str, Mail]]:
    """A node and its mail for each name; none has started."""
    network, device = MemoryNetwork(), load_device(DEVICE)
    mails = {name: Mail(MemoryTransport(network, name), Handover()) for name in names}
    nodes = {
        name: Node(
            name,
            epoch=1,
            clock=clock,
            device=device,
            link=link,
            mail=mails[name],
            members=Membership({worker: worker for worker in names}),
            disk=MemoryDisk(),
            rng=Rng(0),
            trace=trace,
            on_failure=lambda _, error: failures.append(error),
            numerics=EXACT_NUMERICS,
            fabric=fabric,
        )
        for name in names
    }
    return nodes, mails


async def _meet(nodes: Mapping[str, Node], mails: Mapping[str, Mail]) -> None:
    """All listen, then each joins all."""
    members = []
    for name, node in nodes.items():
        endpoint = node.endpoint
        address = await mails[name].start(endpoint.receive, endpoint.peer_died)
        members.append(Member(name, 1, endpoint.link, address))
    for name, node in nodes.items():
        await mails[name].connect({m.node: m.address for m in members if m.node != name})
        for member in members:
            node.members.join(member)


def stand(
    num_chips: int,
    owners: Sequence[int],
    job: Callable[[Cluster], Awaitable[T]],
    sharing: Sharing = "fifo",
    fabric: Callable[[VirtualClock, Sequence[str]], Fabric] | None = None,
    link: LinkSpec | None = None,
) -> T:
    """See `Stand`. Messages on a link are in order, as at the earlier commit.

    fabric   makes a network between these nodes; None: there is none
    """
    chips = [f"chip-{index}" for index in range(num_chips)]
    shards = [f"shard-{index}" for index in range(max(owners) + 1)]
    clock, trace = VirtualClock(), Trace(hashed=True)
    failures: list[BaseException] = []
    spec = (link or load_link(LINK)).model_copy(update={"sharing": sharing})
    names = [*chips, *shards]
    joined = None if fabric is None else fabric(clock, names)
    nodes, mails = _nodes(names, spec, clock, trace, failures, joined)

    async def main() -> T:
        await _meet(nodes, mails)
        cluster = Cluster(
            [_Chip(nodes[name], shards, owners) for name in chips],
            [_Shard(nodes[name]) for name in shards],
            lambda: trace.num_records,
            trace.digest,
        )
        try:
            with little_garbage():
                return await job(cluster)
        finally:
            for node in nodes.values():
                await node.crash()

    loop = virtual_loop(clock)
    try:
        result = loop.run_until_complete(main())
    finally:
        loop.close()
    for error in failures:
        raise error
    return result
