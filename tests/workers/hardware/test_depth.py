"""Pages in flight against the plainest simulation there is: page by page, place by place."""

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.schema.device import ResourceSpec, TierSpec
from tests.workers.bench import make_device, make_tier, run_alone
from tests.workers.hardware.places import simulated
from workers.hardware.hardware import Hardware
from workers.hardware.sharing.depth import InOrder
from workers.hardware.sharing.fair import GRAINS
from workers.hardware.sharing.in_order import Fifo
from workers.hardware.work import Demand, Work
from workers.host.clock.virtual import VirtualClock
from workers.host.trace import Trace

FLASH = make_tier(
    read_bytes_per_s=8 * 10**12,
    write_bytes_per_s=8 * 10**12,
    page_bytes=4_096,
    queue_depth=16,
    read_latency_ns=20_000,
    write_latency_ns=20_000,
)
KIB = 1_024


def one_after_the_other(tier: TierSpec, sizes: list[int], way: str = "read") -> int:
    async def job(clock: VirtualClock) -> int:
        machine = Hardware("test", make_device({"hbm": tier}), clock, Trace(), None)
        for num_bytes in sizes:
            await machine.run(Work("w", (Demand(f"hbm.{way}", num_bytes),)), lambda: None)
        return clock.now()

    return run_alone(job)


def ends_together(tier: TierSpec, demands: list[Demand]) -> list[int]:
    """All begin at 0, in this order."""

    async def job(clock: VirtualClock) -> list[int]:
        machine = Hardware("test", make_device({"hbm": tier}), clock, Trace(), None)
        launches = [machine.launch(Work("w", (demand,)), 0) for demand in demands]
        for launch in launches:
            await launch.certain()
        return [launch.due_ns for launch in launches]

    return run_alone(job)


@pytest.mark.parametrize("sharing", ["fifo", "fair"])
@pytest.mark.parametrize("way", ["read", "write"])
def test_pages_in_flight_together_share_one_latency(way: str, sharing: str) -> None:
    """3 x (20 us + 64 KiB / 8 TB/s) = 60.025 us, each of the three rounded up to a ns."""
    tier = FLASH.model_copy(update={"sharing": sharing})
    assert one_after_the_other(tier, [64 * KIB] * 3, way) == 3 * (20_000 + 9)
    assert one_after_the_other(tier, [64 * KIB, 61 * KIB, 50 * KIB], way) <= 3 * (20_000 + 9)
    assert one_after_the_other(tier, [1, 4 * KIB, 8 * KIB], way) == 20_001 + 20_001 + 20_002


@pytest.mark.parametrize("sharing", ["fifo", "fair"])
def test_more_pages_than_places_take_a_latency_for_each_round(sharing: str) -> None:
    """17 pages: the last waits for the first, 20,001 ns; 33 two latencies more than 16 do."""
    tier = FLASH.model_copy(update={"sharing": sharing})
    for pages, rounds in ((16, 1), (17, 2), (32, 2), (33, 3), (160, 10)):
        took_ns = one_after_the_other(tier, [pages * 4_096])
        assert rounds * 20_000 < took_ns <= rounds * 20_001 + 9


@pytest.mark.parametrize(("sharing", "ends"), [("fifo", (1, 2)), ("fair", (2, 2))])
def test_two_readers_share_the_places(sharing: str, ends: tuple[int, int]) -> None:
    """Each wants all of them: in order the second waits a latency, fairly both have half."""
    tier = FLASH.model_copy(update={"sharing": sharing})
    got = ends_together(tier, [Demand("hbm.read", 64 * KIB)] * 2)
    for end_ns, latencies in zip(got, ends, strict=True):
        assert latencies * 20_000 < end_ns <= latencies * 20_001 + 17
    half = ends_together(tier, [Demand("hbm.read", 32 * KIB)] * 2)
    assert max(half) <= 20_000 + 10, "where both fit, both take one"


def test_reads_and_writes_have_places_of_their_own() -> None:
    got = ends_together(FLASH, [Demand("hbm.read", 64 * KIB), Demand("hbm.write", 64 * KIB)])
    assert got == [20_009, 20_009]
    bus = FLASH.model_copy(update={"shared_bus": True})
    got = ends_together(bus, [Demand("hbm.read", 64 * KIB), Demand("hbm.write", 64 * KIB)])
    assert got == [20_009, 20_018], "on one bus the second has its turns after the first"


@pytest.mark.parametrize("sharing", ["fifo", "fair"])
def test_a_reader_s_own_few_pages_share_a_latency_too(sharing: str) -> None:
    """4 pages at once of a queue that is deep enough: 3 rounds for 12, not 3 and a fourth."""
    tier = FLASH.model_copy(update={"sharing": sharing, "queue_depth": 50_000})
    for pages, rounds in ((1, 1), (4, 1), (5, 2), (12, 3)):
        (end_ns,) = ends_together(tier, [Demand("hbm.read", pages * 4_096, 1, 4)])
        assert rounds * 20_000 < end_ns <= rounds * 20_001 + 9


@given(
    depth=st.integers(1, 9),
    turn_ns=st.fractions(Fraction(1, 32), 40, max_denominator=32),
    latency_ns=st.integers(1, 300),
    asked=st.lists(st.tuples(st.integers(0, 3_000), st.integers(0, 60)), min_size=1, max_size=12),
)
@settings(max_examples=300)
def test_in_order_every_read_ends_as_simulated(
    depth: int, turn_ns: Fraction, latency_ns: int, asked: list[tuple[int, int]]
) -> None:
    """Any mix of sizes, alone and one upon the other, with the bus in the way or the depth."""
    asked.sort()
    bus, told = Fifo(), list[int]()
    queue = InOrder(bus, depth, int(turn_ns * GRAINS), latency_ns)
    for at_ns, pages in asked:
        queue.serve(at_ns, pages, pages or 1, told.append)
    for end_ns, end, (_, pages) in zip(
        told, simulated(asked, depth, turn_ns, latency_ns), asked, strict=True
    ):
        assert not pages or end_ns == -(-end // 1)


@given(
    depth=st.integers(1, 40),
    page_bytes=st.sampled_from([1, 64, 300, 4_096]),
    latency_ns=st.integers(0, 5_000),
    rate=st.sampled_from([10**8, 3 * 10**8, 10**9, 7 * 10**9]),
    asked=st.lists(st.tuples(st.integers(0, 30_000), st.integers(1, 20_000)), max_size=8),
)
def test_a_tier_is_as_simulated_whether_its_depth_binds_or_not(
    depth: int, page_bytes: int, latency_ns: int, rate: int, asked: list[tuple[int, int]]
) -> None:
    """From the specification to the end of each read: at most a ns late for each before it."""
    asked.sort()
    tier = make_tier(
        read_bytes_per_s=rate,
        page_bytes=page_bytes,
        queue_depth=depth,
        read_latency_ns=latency_ns,
    )
    machine = Hardware("test", make_device({"hbm": tier}), VirtualClock(), Trace(), None)
    pages = [(at_ns, -(-num_bytes // page_bytes)) for at_ns, num_bytes in asked]
    turn_ns = Fraction(page_bytes * 10**9, rate)
    for before, ((at_ns, num_bytes), end) in enumerate(
        zip(asked, simulated(pages, depth, turn_ns, latency_ns), strict=True)
    ):
        launch = machine.launch(Work.of("w", reads={"hbm": num_bytes}), at_ns)
        assert not launch.num_open
        assert end <= launch.due_ns < end + 2 + before
        assert machine.resources["hbm.read"].busy_ns(at_ns) <= at_ns


@given(
    depth=st.integers(1, 20),
    latency_ns=st.integers(100, 5_000),
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=6),
)
def test_fair_readers_are_done_within_a_round_of_places_dealt_in_any_order(
    depth: int, latency_ns: int, sizes: list[int]
) -> None:
    """Shares are a fluid, places are whole pages: the last reader ends within a round of what page
    by page says, and nobody sooner than alone.
    """
    tier = make_tier(sharing="fair", page_bytes=10, queue_depth=depth, read_latency_ns=latency_ns)
    got = ends_together(tier, [Demand("hbm.read", 10 * pages) for pages in sizes])
    (all_end,) = simulated([(0, sum(sizes))], depth, Fraction(10), latency_ns)
    round_ns = latency_ns + 10 * depth + 10
    assert abs(max(got) - all_end) <= round_ns
    for pages, end_ns in zip(sizes, got, strict=True):
        (alone_end,) = simulated([(0, pages)], depth, Fraction(10), latency_ns)
        assert end_ns >= alone_end


def test_pages_of_several_servers_hold_places_for_service_and_latency() -> None:
    """4 servers, 100 ns a page each, 900 ns on top, 8 places: two rounds of 4 in the first 1,100
    ns, and the next page in the place of the first.
    """
    spec = ResourceSpec(rate_per_s=4e7, servers=4, latency_ns=900, queue_depth=8)
    device = make_device(resources={"planes": spec})
    for pages, end_ns in ((4, 1_000), (8, 1_100), (9, 2_000), (16, 2_100)):
        machine = Hardware("test", device, VirtualClock(), Trace(), None)
        launch = machine.launch(Work("w", (Demand("planes", pages, pages),)), 0)
        assert end_ns - 100 <= launch.due_ns <= end_ns


def test_several_servers_hide_a_latency_together() -> None:
    """4 servers, 100 ns a page each, 900 ns on top: the 40th page is served from 900 to 1,000, and
    there at 1,900. That is with 40 places; with 39 it waits for the first page's, until 1,000.
    """
    for depth, end_ns in ((40, 1_900), (39, 2_000)):
        spec = ResourceSpec(rate_per_s=4e7, servers=4, latency_ns=900, queue_depth=depth)
        device = make_device(resources={"planes": spec})
        machine = Hardware("test", device, VirtualClock(), Trace(), None)
        launch = machine.launch(Work("w", (Demand("planes", 40, 40),)), 0)
        assert launch.due_ns == end_ns


def test_a_scan_of_millions_of_pages_costs_a_few_runs() -> None:
    """10**9 pages, 16 at once, a turn of 1 ns and a latency of 999: 62.5 million rounds."""
    bus, told = Fifo(), list[int]()
    queue = InOrder(bus, 16, GRAINS, 999)
    queue.serve(0, 10**9, 10**9, told.append)
    queue.serve(0, 5, 5, told.append)
    rounds = 10**9 // 16
    assert told == [rounds * 1_000 + 15, (rounds + 1) * 1_000 + 4]
    assert all(a < b for a, b in pairwise(told))
