"""A long stretch of pages as a whole ends when page after page would."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.hardware.banked.flash import PAGE, end_ns, flash, machine, reads, stretch
from workers.hardware.latencies import percentile_ns
from workers.hardware.sharing.banked.stream import STREAM_PAGES_LEAST
from workers.hardware.work import Demand


@pytest.mark.parametrize(
    ("changes", "due_ns"),
    [
        # the bus, from the first page on
        ({}, 4_000 + 1_000 * 1_000),
        # two places: 500 rounds of a sensing and a turn, and the second one's turn
        ({"queue_depth": 2}, 500 * 5_000 + 1_000),
        # one place: 1,000 rounds
        ({"queue_depth": 1}, 1_000 * 5_000),
    ],
)
def test_the_bus_or_the_places_hold_it_up(changes: dict[str, object], due_ns: int) -> None:
    assert end_ns(machine(**changes), stretch(0, 1_000)) == due_ns


def test_planes_hold_it_up_where_pages_are_sensed_again() -> None:
    """Half of them, 4,000 ns more: 6,000 on average. 1,000 pages in four planes are 250 for each,
    1,500,000 ns on average and some 32,000 (half of 4,000 x sqrt(250)) more in the slowest.
    """
    retry = {"probability": 0.5, "latency_ns": 4_000}
    due_ns = end_ns(machine(read_retry=retry), stretch(0, 1_000))
    assert 1_500_000 < due_ns < 1_500_000 + 4 * 32_000


@given(
    channels=st.integers(1, 5),
    banks=st.integers(1, 3),
    planes=st.integers(1, 4),
    depth=st.integers(1, 100),
    sense_ns=st.integers(0, 9_000),
    of_most=st.sampled_from([1.0, 0.9, 0.5, 0.1]),
    num=st.integers(STREAM_PAGES_LEAST, 2 * STREAM_PAGES_LEAST),
    start=st.integers(0, 1_000),
)
@settings(max_examples=150)
def test_from_idle_it_ends_as_page_by_page(
    channels: int,
    banks: int,
    planes: int,
    depth: int,
    sense_ns: int,
    of_most: float,
    num: int,
    start: int,
) -> None:
    """At most a page's turn apart: where a round's last pages lie in channels makes that much."""
    most = channels * banks * planes * PAGE * 10**9 // max(1, sense_ns)
    rate = max(10**6, min(10**12, int(most * of_most)))
    tier = flash(
        channels=channels,
        banks=banks,
        planes=planes,
        queue_depth=depth,
        read_latency_ns=sense_ns,
        read_bytes_per_s=rate,
    )
    whole = end_ns(machine(tier), stretch(start, num))
    apart = end_ns(machine(tier), reads(*range(start, start + num)))
    turn_ns = PAGE * 10**9 * channels // rate + 1
    assert abs(whole - apart) <= turn_ns


@pytest.mark.parametrize("depth", [8, 64, 10_000])
def test_its_latencies_are_those_of_page_by_page(depth: int) -> None:
    """Within the histogram's 1.6 % and a thirty-second part of the first pages' growth."""
    whole, apart = machine(queue_depth=depth), machine(queue_depth=depth)
    end_ns(whole, stretch(0, 2_000))
    end_ns(apart, reads(*range(2_000)))
    for share in (0.5, 0.99):
        got = percentile_ns(whole.latencies()["hbm.read"], share)
        assert got == pytest.approx(percentile_ns(apart.latencies()["hbm.read"], share), rel=0.05)
    assert sum(whole.latencies()["hbm.read"].values()) == 2_000


def test_who_comes_after_it_waits_for_its_places_and_its_bus() -> None:
    """The stream has the bus until 604,000 ns, and 8 places: a read at 100,000 has one when the
    first of the last 8 pages is there, at 597,000, is sensed by 601,000, and follows the stream.
    """
    hardware = machine(queue_depth=8)
    assert end_ns(hardware, stretch(0, 600)) == 604_000
    assert end_ns(hardware, reads(3), 100_000) == 605_000
    assert end_ns(hardware, reads(3), 700_000) == 705_000


def test_very_many_reads_anywhere_go_on_as_the_first_of_them_did() -> None:
    """One place: each takes 5,000 ns, however many there are."""
    hardware = machine(queue_depth=1)
    assert end_ns(hardware, Demand("hbm.read", 40_000 * PAGE, 40_000)) == 40_000 * 5_000
    assert sum(hardware.latencies()["hbm.read"].values()) == 40_000


def test_terabytes_cost_no_more_than_gigabytes() -> None:
    tier = flash(capacity_bytes=10**13)
    assert end_ns(machine(tier), stretch(0, 10**9)) == 4_000 + 10**12
