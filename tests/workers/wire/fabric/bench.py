"""Messages over small networks: 1 byte a ns and 1 us from end to end, as in `tests.workers.bench`,
100 ns an inner link.
"""

from collections.abc import Mapping
from typing import Any

from configs.schema.network import NetworkSection
from tests.cluster.network.laid_out import network
from tests.workers.bench import Bench, make_link
from tests.workers.wire.parcel import Parcel
from workers.wire.fabric.fabric import Fabric
from workers.wire.rules import Rule

Sent = tuple[str, str, int, int]  # from, to, at, bytes


def bench_of(num_nodes: int, link_changes: Mapping[str, Any] | None = None, **keys: Any) -> Bench:
    """Nodes n-0, n-1, ... with links as the network shares them."""
    laid = network(num_nodes, **keys)
    section: NetworkSection = laid.section
    nodes = [f"n-{i}" for i in range(num_nodes)]
    link = make_link(sharing=section.sharing).model_copy(update=link_changes or {})
    links = dict.fromkeys(nodes, link)
    return Bench(*nodes, links=links, fabric=lambda clock: Fabric(section, laid, clock))


def arrivals(
    bench: Bench, *sends: Sent, rules: Mapping[str, Rule] | None = None
) -> list[tuple[str, str, int]]:
    """(source, destination, when it was delivered), in order of delivery. Rules are n-0's."""

    async def job(bench: Bench) -> list[tuple[str, str, int]]:
        seen: list[tuple[str, str, int]] = []
        for name in bench.nodes:
            bench.port(name).on(
                Parcel, lambda m: seen.append((m.source, m.destination, bench.clock.now()))
            )
        if rules:
            bench.node("n-0").endpoint.rules.update(rules)

        async def send(source: str, to: str, at: int, num_bytes: int) -> None:
            await bench.clock.wait_until(at)
            await bench.port(source).send(to, Parcel(charged=num_bytes))

        for sent in sends:
            bench.node(sent[0]).spawn(send(*sent), "send")
        await bench.clock.wait_until(10**9)
        return seen

    return bench.run(job)
