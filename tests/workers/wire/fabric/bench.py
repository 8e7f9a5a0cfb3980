"""Messages over small networks: 1 byte a ns and 1 us from end to end, as in `tests.workers.bench`,
100 ns an inner link.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from configs.schema.network import NetworkSection
from tests.cluster.network.laid_out import network
from tests.workers.bench import Bench, make_link
from tests.workers.wire.parcel import Parcel
from workers.host.clock.base import Clock
from workers.wire.fabric.fabric import Fabric
from workers.wire.fabric.shared.course import courses
from workers.wire.fabric.shared.fabric import SharedFabric
from workers.wire.fabric.shared.links import SharedLinks
from workers.wire.fabric.shared.segment import Segment
from workers.wire.rules import Rule

# Folder of the segments over which nodes share links as processes do; None: they are in one.
SEGMENTS: Path | None = None
MADE: list[SharedFabric] = []
GRACE_NS = 10**6

Sent = tuple[str, str, int, int]  # from, to, at, bytes


def bench_of(num_nodes: int, link_changes: Mapping[str, Any] | None = None, **keys: Any) -> Bench:
    """Nodes n-0, n-1, ... with links as the network shares them."""
    laid = network(num_nodes, **keys)
    section: NetworkSection = laid.section
    nodes = [f"n-{i}" for i in range(num_nodes)]
    link = make_link(sharing=section.sharing).model_copy(update=link_changes or {})
    links = dict.fromkeys(nodes, link)
    if SEGMENTS is None:
        return Bench(*nodes, links=links, fabric=lambda clock: Fabric(section, laid, clock))
    path = SEGMENTS / str(len(MADE))

    def shared(clock: Clock) -> Fabric:
        first, course_of = courses(section)
        own = SharedLinks(clock, Segment(path, first.saved()), course_of, GRACE_NS)
        MADE.append(SharedFabric(section, laid, clock, own, links, "", GRACE_NS))
        return MADE[-1]

    return Bench(*nodes, links=links, fabric=shared, each_fabric=True, through_frames=True)


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
