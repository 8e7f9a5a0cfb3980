"""Bandwidth of flash over request size, requests in flight and channels.

The emulator reads in virtual time from one channel's, four channels' and all sixteen channels' part
of `ocp-hbf-grade2` (a channel: 96 GB/s, 16 banks of 32 planes, pages of 4 KiB sensed in 20 us).

Expected, where requests lie in planes apart: min(BW, Q x s / t), t being 20 us and a page's turn;
a large request's pages are in flight together. So 64 B reach 3.2 MB/s with one request in flight,
and 26 GB/s with 8,192; 4 KiB need 7,516 in flight for all of 1.536 TB/s.

Expected, where they lie anywhere: each plane is a queue of constant service, at which pages come at
random. With a pages in flight for each plane, its share of work p is such that a = p + p^2 /
(2 (1 - p)) (Pollaczek and Khinchine), so p = 1 + a - sqrt(1 + a^2): 0.117 at a = 1/8, and 2 -
sqrt(2) = 0.586 at a = 1, as in switches with input queues (Karol, Hluchyj and Morgan, IEEE Trans.
Commun. 35, 1987). That leaves out buses, so it stands beside the smallest requests. Beside all
stands a closed network, event by event (`_closed`).

What came out: apart, the formula to five digits; anywhere, at most 3.5 % from the closed network
and 2.3 % from queues of constant service.
"""

import math
from collections.abc import Iterator, Sequence

from benchmarks.memory._closed import Network, throughput_per_ns
from benchmarks.rows import Row
from configs.flash import effective_read_bytes_per_s
from configs.schema import load_device
from configs.schema.tier import TierSpec
from tests.workers.bench import make_device
from workers.hardware.hardware import Hardware
from workers.hardware.latencies import percentile_ns
from workers.hardware.work import Demand, Work
from workers.host.clock.virtual import VirtualClock
from workers.host.trace import Trace

CHANNELS = (1, 4, 16)
SIZES = (64, 256, 1_024, 4_096, 16_384, 65_536)
APART_WITHIN, ANYWHERE_WITHIN = 0.02, 0.05
ROUNDS = 24  # of all in flight, where they lie anywhere
AT_ONCE = 8_192  # pages of one demand: so few are served one by one
SEED = 7


def run() -> Iterator[Row]:
    for channels in CHANNELS:
        yield apart(channels)
    for channels in CHANNELS:
        yield from anywhere(channels)


def part_of_grade2(channels: int, in_flight: int) -> TierSpec:
    """So many of its 16 channels, with so many pages in flight; no page is kept."""
    tier = load_device("ocp-hbf-grade2").tiers["hbf"]
    return tier.model_copy(
        update={
            "channels": channels,
            "read_bytes_per_s": tier.read_bytes_per_s * channels // tier.channels,
            "capacity_bytes": tier.capacity_bytes * channels // tier.channels,
            "queue_depth": in_flight,
            "page_cache": 0,
        }
    )


def hardware_of(tier: TierSpec) -> Hardware:
    device = make_device({"hbf": tier}, default_tier="hbf")
    return Hardware("flash", device, VirtualClock(), Trace(), None)


def due_ns(machine: Hardware, demand: Demand) -> int:
    launch = machine.launch(Work("read", (demand,)), 0)
    assert not launch.num_open
    return launch.due_ns


def emulated_apart(tier: TierSpec, size: int, num: int) -> float:
    """Bytes a second over the latter half of so many requests of neighbours, all asked for at
    once.
    """
    machine, pages = hardware_of(tier), -(-size // tier.page_bytes)
    here = AT_ONCE // pages
    ends_ns: list[int] = []
    for first in range(0, num, here):
        where = range(first * pages, (first + here) * pages, pages)
        ends_ns.append(due_ns(machine, Demand("hbf.read", here * size, here, None, where)))
    half = len(ends_ns) // 2
    return (len(ends_ns) - half) * here * size / (ends_ns[-1] - ends_ns[half - 1]) * 1e9


def emulated_anywhere(tier: TierSpec, size: int, num: int) -> tuple[float, dict[int, int]]:
    """Bytes a second of so many requests that say nothing of where, from when a quarter are there
    until fewer are asked for than places; and how long their pages took.
    """
    machine, demand = hardware_of(tier), Demand("hbf.read", size)
    ends_ns = sorted(due_ns(machine, demand) for _ in range(num))
    first, last = num // 4, num - 2 * tier.queue_depth
    rate = (last - first) * size / (ends_ns[last] - ends_ns[first]) * 1e9
    return rate, machine.latencies()["hbf.read"]


def rounds_of(in_flight: int, rounds: int, pages: int = 1) -> int:
    """Requests of at least so many rounds, in whole demands, an even number of them."""
    at_once = AT_ONCE // pages
    return max(2, 2 * -(-in_flight * rounds // (2 * at_once))) * at_once


def depths(tier: TierSpec) -> Sequence[int]:
    """From one request to one in each plane."""
    return (1, tier.channels * 8, tier.num_planes // 4, tier.num_planes)


def apart(channels: int) -> Row:
    worst, where, num_cells = 0.0, "", 0
    for size in SIZES:
        pages = -(-size // 4_096)
        whole = part_of_grade2(channels, 1)
        for in_flight in depths(whole):
            if in_flight * pages > whole.num_planes:
                continue  # two of one round would meet in a plane
            tier = part_of_grade2(channels, in_flight * pages)
            got = emulated_apart(tier, size, rounds_of(in_flight, 8, pages))
            turn_ns = min(size, 4_096) * 1e9 * channels / tier.sustained_read_bytes_per_s
            fed = in_flight * size / (tier.read_latency_ns + turn_ns) * 1e9
            right = min(tier.sustained_read_bytes_per_s, fed)
            num_cells += 1
            if (off := abs(got / right - 1)) >= worst:
                worst = off
                where = f"{size:,} B, {in_flight:,} in flight: {got / 1e9:,.2f} GB/s"
    return Row(
        f"{channels} channels, requests apart: farthest from min(BW, Q s / t)",
        worst * 100,
        "%",
        f"<= {APART_WITHIN:.0%}",
        worst <= APART_WITHIN,
        f"projection: {num_cells} sizes and depths in virtual time; {where}",
    )


def anywhere(channels: int) -> Iterator[Row]:
    for size in (64, 4_096):
        for share in (8, 1):
            whole = part_of_grade2(channels, 1)
            in_flight = whole.num_planes // share
            tier = part_of_grade2(channels, in_flight)
            num = rounds_of(in_flight, ROUNDS)
            got, latencies = emulated_anywhere(tier, size, num)
            turn_ns = size * 1e9 * channels / tier.sustained_read_bytes_per_s
            network = Network(channels, tier.num_planes, tier.read_latency_ns, turn_ns)
            right = throughput_per_ns(network, in_flight, num, SEED) * size * 1e9
            yield from beside_queue(tier, size, in_flight, got)
            off = abs(got / right - 1)
            free = effective_read_bytes_per_s(tier, size, in_flight)
            p50, p999 = (percentile_ns(latencies, s) / 1e3 for s in (0.5, 0.999))
            yield Row(
                f"{channels} channels, {size:,} B anywhere, {in_flight:,} in flight in "
                f"{tier.num_planes:,} planes: from a closed network",
                off * 100,
                "%",
                f"<= {ANYWHERE_WITHIN:.0%}",
                off <= ANYWHERE_WITHIN,
                f"projection: {got / 1e9:,.2f} GB/s, {got / free:.0%} of apart; pages take "
                f"{p50:,.1f} us at p50, {p999:,.1f} us at p99.9",
            )


def beside_queue(tier: TierSpec, size: int, in_flight: int, got: float) -> Iterator[Row]:
    """For requests so small that buses are next to idle."""
    if size > tier.page_bytes // 64:
        return
    load = in_flight / tier.num_planes
    share = 1 + load - math.sqrt(1 + load**2)
    right = share * tier.num_planes * size / tier.read_latency_ns * 1e9
    off = abs(got / right - 1)
    yield Row(
        f"{tier.channels} channels, {size:,} B anywhere, {in_flight:,} in flight in "
        f"{tier.num_planes:,} planes: from queues of constant service",
        off * 100,
        "%",
        f"<= {ANYWHERE_WITHIN:.0%}",
        off <= ANYWHERE_WITHIN,
        f"projection: {got / 1e9:,.2f} GB/s beside {right / 1e9:,.2f}",
    )
