"""Incast: 8 into 1, and 8 into 8 over one switch that moves half of what they send.

Nodes of `lowlat-2us` (450 GB/s, 2 us) with the real endpoint, in virtual time. Each sender sends 16
messages of 1 MB at once; completion is when the last is delivered.

Expected, before the first run: 8 into 1 fills the receiver's ingress, 128 MB / 450 GB/s = 284.444
us, and 2 us: 286.444 us. 8 into 8, each to each other's partner, over a switch of 1,800 GB/s
instead of 3,600: 128 MB / 1,800 GB/s = 71.111 us, and 2 us: 73.111 us. The bound is bytes over
bandwidth; what is above it is the latency, 0.7 % and 2.8 %, so the bar of 2 % is held to the time
without it (the last byte's, as a receiver sees it from the first byte's on). In order the same: a
link that always has somebody in line is never idle.

What a lossy fabric would add: here queues have no end and nothing is lost. Over Ethernet with
drop-tail queues and TCP, synchronised senders overflow the port's buffer, whole windows are lost,
and the receiver's link lies idle until a retransmission timer ends: goodput collapses by one to two
orders of magnitude at minimum timeouts of 200 ms (Phanishayee et al., FAST 2008; Vasudevan et al.,
SIGCOMM 2009). RoCE avoids the loss with priority flow control, and pays with pauses that spread to
flows which share only a queue (Zhu et al., DCQCN, SIGCOMM 2015; Guo et al., RDMA over commodity
Ethernet at scale, SIGCOMM 2016). Neither is modelled: what is shown is the bound that such fabrics
aim at; `bandwidth` and `timeout` faults make part of them.
"""

from collections.abc import Iterator, Sequence

from benchmarks.rows import Row
from cluster.network.build import Network
from cluster.network.switched import one_switch
from configs.schema import load_link
from configs.schema.device import Sharing
from configs.schema.network import NetworkSection
from tests.workers.bench import Bench
from tests.workers.wire.parcel import Parcel
from workers.wire.fabric.fabric import Fabric

LINK = "lowlat-2us"
SENDERS, MESSAGES, MESSAGE_BYTES = 8, 16, 10**6
SWITCH_BYTES_PER_S = 1_800 * 10**9
WITHIN = 0.02


def completion_ns(
    pairs: Sequence[tuple[str, str]], sharing: Sharing, switch_bytes_per_s: int | None
) -> int:
    """When the last of all messages is delivered."""
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    section = NetworkSection(type="switch", sharing=sharing, switch_bytes_per_s=switch_bytes_per_s)
    laid = Network(section, one_switch(names, None))
    link = load_link(LINK).model_copy(update={"sharing": sharing})
    bench = Bench(
        *names,
        links=dict.fromkeys(names, link),
        fabric=lambda clock: Fabric(section, laid, clock),
    )

    async def job(bench: Bench) -> int:
        delivered: list[int] = []
        for _, target in dict.fromkeys(pairs):
            if (target, "parcel") not in bench.node(target).endpoint.incoming.handlers():
                bench.port(target).on(Parcel, lambda _: delivered.append(bench.clock.now()))

        async def send(source: str, target: str) -> None:
            for _ in range(MESSAGES):
                await bench.port(source).send(target, Parcel(charged=MESSAGE_BYTES))

        for source, target in pairs:
            bench.node(source).spawn(send(source, target), "send")
        await bench.clock.wait_until(10**9)
        assert len(delivered) == len(pairs) * MESSAGES, "nothing is lost here"
        return max(delivered)

    return bench.run(job)


def rows() -> Iterator[Row]:
    link = load_link(LINK)
    num_bytes = SENDERS * MESSAGES * MESSAGE_BYTES
    into_one = [(f"from-{i}", "to") for i in range(SENDERS)]
    into_eight = [(f"from-{i}", f"to-{i}") for i in range(SENDERS)]
    for name, pairs, narrow, bytes_per_s in (
        ("8 into 1", into_one, None, link.bytes_per_s),
        ("8 into 8, one switch of half their bandwidth", into_eight, SWITCH_BYTES_PER_S,
         SWITCH_BYTES_PER_S),
    ):  # fmt: skip
        bound_ns = num_bytes * 10**9 / bytes_per_s
        for sharing in ("fair", "fifo"):
            took_ns = completion_ns(pairs, sharing, narrow) - link.latency_ns
            apart = took_ns / bound_ns - 1
            yield Row(
                f"incast, {name}, {sharing}: completion over bytes / bandwidth",
                took_ns / bound_ns,
                "x",
                f"<= {1 + WITHIN} of {bound_ns / 1e3:,.3f} us",
                -1e-6 <= apart <= WITHIN,
                f"projection: {took_ns / 1e3:,.3f} us and {link.latency_ns / 1e3:g} us of latency; "
                "lossless: loss, timeouts and pauses would come on top",
            )
