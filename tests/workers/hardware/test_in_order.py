"""Queues against the plainest simulation there is: one piece after the other."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.hardware.sharing.base import duration_ns
from workers.hardware.sharing.in_order import Fifo, Servers

RATES = st.sampled_from([1e9, 3e8, 7.0, 1e12, 10**9, 3_350_000_000])
ASKED = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 5_000)), max_size=30)


@given(st.integers(0, 2**50), RATES)
def test_a_duration_is_amount_over_rate_rounded_up(amount: int, rate_per_s: float) -> None:
    exact = Fraction(amount * 10**9) / Fraction(rate_per_s)
    error = exact * Fraction(1, 2**50)  # a rate that is a float divides as floats do
    assert exact - error <= duration_ns(amount, rate_per_s) < exact + 1 + error


def test_without_a_rate_nothing_costs_anything() -> None:
    assert duration_ns(10**12, 0) == 0


@given(ASKED, RATES)
def test_a_queue_serves_one_after_the_other_and_loses_no_time(
    asked: list[tuple[int, int]], rate_per_s: float
) -> None:
    """Also those who ask in the past: in a live world a host may be late."""
    fifo, last_end = Fifo(), 0
    for start_ns, amount in asked:
        begin_ns, ends = max(start_ns, last_end), []
        assert fifo.begins_ns(start_ns) == begin_ns
        fifo.serve(start_ns, amount, rate_per_s, ends.append)
        last_end = begin_ns + duration_ns(amount, rate_per_s)
        assert ends == [last_end], "told at once, once"
    total_ns = sum(duration_ns(amount, rate_per_s) for _, amount in asked)
    assert fifo.busy_ns(last_end) == total_ns <= last_end


@given(ASKED, st.integers(0, 40_000))
def test_a_queue_was_busy_as_its_services_say(asked: list[tuple[int, int]], now_ns: int) -> None:
    fifo, worked = Fifo(), 0
    for start_ns, amount in sorted(asked):
        if start_ns <= now_ns:
            begin_ns, end_ns = fifo.begins_ns(start_ns), fifo.join(start_ns, amount)
            worked += max(0, min(end_ns, now_ns) - min(begin_ns, now_ns))
    assert fifo.busy_ns(now_ns) == worked <= now_ns


def test_a_limited_flow_is_late_and_holds_up_nobody() -> None:
    fifo, ends = Fifo(), []
    fifo.serve(0, 1_000, 1e9, ends.append, limit_per_s=1e8)
    fifo.serve(0, 1_000, 1e9, ends.append)
    fifo.serve(0, 1_000, 1e9, ends.append, limit_per_s=9e8)
    assert ends == [10_000, 2_000, 3_000], "the third has come in while it waited"


class Simulated:
    """k servers, piece by piece: each goes to the one that is free first."""

    def __init__(self, num_servers: int) -> None:
        self.free_ns = [0] * num_servers

    def join(self, now_ns: int, piece_ns: int, pieces: int) -> int:
        ends = [now_ns]
        for _ in range(pieces if piece_ns else min(pieces, 1)):
            first = min(range(len(self.free_ns)), key=self.free_ns.__getitem__)
            self.free_ns[first] = max(now_ns, self.free_ns[first]) + piece_ns
            ends.append(self.free_ns[first])
        return max(ends)


@given(
    st.integers(1, 9),
    st.lists(st.tuples(st.integers(0, 500), st.integers(0, 90), st.integers(0, 60)), max_size=15),
)
def test_servers_are_as_simulated(num: int, asked: list[tuple[int, int, int]]) -> None:
    servers, simulated = Servers(num), Simulated(num)
    for now_ns, piece_ns, pieces in sorted(asked):
        assert servers.begins_ns(now_ns) == max(now_ns, min(simulated.free_ns))
        expected = simulated.join(now_ns, piece_ns, pieces)
        assert servers.join(now_ns, piece_ns, pieces) == expected
        assert 0 <= servers.busy_ns(now_ns) <= now_ns
    last_ns = max([*simulated.free_ns, 0])
    assert servers.busy_ns(last_ns) == sum(ns * pieces for _, ns, pieces in asked) // num <= last_ns


def test_one_server_is_a_queue() -> None:
    one, fifo = Servers(1), Fifo()
    for now_ns, service_ns in ((0, 50), (10, 30), (300, 7), (300, 0)):
        assert one.join(now_ns, service_ns) == fifo.join(now_ns, service_ns)


@pytest.mark.parametrize(("pieces", "end_ns"), [(1, 20_000), (64, 20_000), (65, 40_000)])
def test_planes(pieces: int, end_ns: int) -> None:
    """64 planes read a page in 20 us each: 3.2 million pages a second together."""
    planes, ends = Servers(64), []
    planes.serve(0, pieces, 3_200_000, ends.append, pieces=pieces)
    assert ends == [end_ns]


def test_a_scan_of_millions_of_pages_is_not_gone_through_page_by_page() -> None:
    """10**12 pages over 8 planes; the 9th plane-second is taken by somebody else."""
    planes = Servers(8)
    assert planes.join(0, 500) == 500
    assert planes.join(0, 10, 8 * 10**12 - 50) == 10**13
    assert planes.busy_ns(10**13) == 10**13
