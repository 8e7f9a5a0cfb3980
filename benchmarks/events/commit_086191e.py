"""The adapter for commit 086191e, whose modules are looked up by name: they are gone from here."""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from importlib import import_module
from typing import Any, TypeVar

from numpy.typing import NDArray

from benchmarks.events.cluster import DEVICE, LINK, TIMEOUT_NS, Cluster, Rows
from configs.schema import load_device, load_link

T = TypeVar("T")

exchange, virtual = import_module("workers.exchange"), import_module("workers.clock.virtual")
memory, link_of = import_module("workers.transport.memory"), import_module("workers.link")
Work, Node = import_module("workers.hardware.work").Work, import_module("workers.node").Node
Disk, Rng = import_module("workers.disk").MemoryDisk, import_module("workers.rng").Rng
Trace = import_module("workers.trace").Trace


class _Machine:
    def __init__(self, node: Any) -> None:
        self._node, self._port = node, node.endpoint.port(node.name)

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> Awaitable[None]:
        task: Awaitable[None] = self._node.spawn(coroutine, "work")
        return task

    async def launch(self) -> None:
        await self._node.hardware.run(Work("launch"), lambda: None)


class _Chip(_Machine):
    def __init__(self, node: Any, shards: Sequence[str], owners: Sequence[int]) -> None:
        super().__init__(node)
        placed = {expert: shards[owner] for expert, owner in enumerate(owners)}
        self._side = exchange.DispatchSide(self._port, node.clock, shards, placed)

    async def exchange(self, layer: int, rows: Rows) -> NDArray[Any]:
        tokens = exchange.Tokens(
            layer,
            self._node.name,
            rows.requests_T,
            rows.positions_T,
            rows.hidden_TH,
            rows.experts_TK,
            rows.weights_TK,
        )
        handle = await self._side.dispatch_send(tokens, TIMEOUT_NS)
        sums_TH: NDArray[Any] = await self._side.combine_receive(handle)
        return sums_TH


class _Shard(_Machine):
    def __init__(self, node: Any) -> None:
        super().__init__(node)
        self._side = exchange.CombineSide(self._port, node.clock)

    async def receive(self) -> Sequence[Any]:
        batch: Sequence[Any] = await self._side.dispatch_receive()
        return batch

    async def answer(self, batch: Sequence[Any], sums_tH: NDArray[Any]) -> None:
        await self._side.combine_send(batch, [sums_tH] * len(batch))


def _nodes(
    names: Sequence[str], clock: Any, trace: Any, failures: list[BaseException]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A node and its transport for each name; none has started."""
    network, device, link = memory.MemoryNetwork(), load_device(DEVICE), load_link(LINK)
    transports = {name: memory.MemoryTransport(network, name) for name in names}
    nodes = {
        name: Node(
            name,
            epoch=1,
            clock=clock,
            device=device,
            link=link,
            transport=transports[name],
            directory={worker: worker for worker in names},
            peers={other: link_of.Peer(link, epoch=1) for other in names},
            disk=Disk(),
            rng=Rng(0),
            trace=trace,
            on_failure=lambda _, error: failures.append(error),
        )
        for name in names
    }
    return nodes, transports


def stand(num_chips: int, owners: Sequence[int], job: Callable[[Cluster], Awaitable[T]]) -> T:
    """See `Stand`."""
    chips = [f"chip-{index}" for index in range(num_chips)]
    shards = [f"shard-{index}" for index in range(max(owners) + 1)]
    clock, trace = virtual.VirtualClock(), Trace(hashed=True)
    failures: list[BaseException] = []
    nodes, transports = _nodes([*chips, *shards], clock, trace, failures)

    async def main() -> T:
        addresses = {
            name: await transports[name].start(node.endpoint.receive, node.endpoint.peer_died)
            for name, node in nodes.items()
        }
        for transport in transports.values():
            await transport.connect(addresses)
        cluster = Cluster(
            [_Chip(nodes[name], shards, owners) for name in chips],
            [_Shard(nodes[name]) for name in shards],
            lambda: int(trace.num_records),
            lambda: str(trace.digest()),
        )
        try:
            return await job(cluster)
        finally:
            for node in nodes.values():
                await node.crash()

    loop = virtual.virtual_loop(clock)
    try:
        result: T = loop.run_until_complete(main())
    finally:
        loop.close()
    for error in failures:
        raise error
    return result
