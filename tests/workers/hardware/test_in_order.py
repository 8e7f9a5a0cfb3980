"""Queues against the plainest simulation there is: one piece after the other."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.hardware.sharing.base import duration_ns
from workers.hardware.sharing.fair import GRAINS, grains
from workers.hardware.sharing.in_order import Fifo, Servers

RATES = st.sampled_from([1e9, 3e8, 7.0, 1e12, 10**9, 3_350_000_000])
ASKED = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 5_000)), max_size=30)


@given(st.integers(0, 2**50), RATES)
def test_a_duration_is_amount_over_rate_rounded_up(amount: int, rate_per_s: float) -> None:
    exact = Fraction(amount * 10**9) / Fraction(rate_per_s)
    error = exact * Fraction(1, 2**50)  # a rate that is a float divides as floats do
    assert exact - error <= duration_ns(amount, rate_per_s) < exact + 1 + error


@pytest.mark.parametrize("rate_per_s", [0, 0.0, -1.0, float("nan")])
def test_a_rate_that_is_nothing_serves_nothing(rate_per_s: float) -> None:
    """It is not infinitely fast: nobody may ask it."""
    with pytest.raises((AssertionError, ValueError)):
        duration_ns(10**12, rate_per_s)
    with pytest.raises((AssertionError, ValueError)):
        grains(10**12, rate_per_s)


def test_a_rate_is_not_rounded() -> None:
    """Three units at 1.5 a second take two seconds, in order and fairly; at 0.4 it is 7.5."""
    for rate_per_s, took_ns in ((1.5, 2 * 10**9), (Fraction(2, 5), 7_500_000_000)):
        assert duration_ns(3, rate_per_s) == took_ns
        assert grains(3, rate_per_s) == took_ns * GRAINS


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


def test_what_a_limited_flow_leaves_is_served_to_those_behind_it() -> None:
    """1000 at 0.1 a ns until 10,000. The second has 0.9 a ns: 1,000 / 0.9 = 1,111.1, so until
    1,112. The third the same after it, though it could take all: 2,224. The fourth comes when the
    first is gone. In whole ns 1,000 + 2 x 1,112 x 0.9 = 3,001.6 were served by then.
    """
    fifo, ends = Fifo(), []
    fifo.serve(0, 1_000, 1e9, ends.append, limit_per_s=1e8)
    fifo.serve(0, 1_000, 1e9, ends.append)
    assert fifo.begins_ns(0) == 1_112
    fifo.serve(0, 1_000, 1e9, ends.append, limit_per_s=9e8)
    assert fifo.busy_ns(1_112) == 1_112 and fifo.busy_ns(10_000) == 3_001
    fifo.serve(20_000, 1_000, 1e9, ends.append)
    assert ends == [10_000, 1_112, 2_224, 21_000]


def in_order_by_fluid(asked: list[tuple[int, int, int]]) -> list[int]:
    """Ends of (at, amount, tenths of the server at most), ns by ns: in each, those that are there
    take their most, in order, until the server's ten tenths are gone.
    """
    left = [10 * amount for _, amount, _ in asked]
    ends = [at if not amount else 0 for at, amount, _ in asked]
    now_ns = 0
    while any(left):
        tenths = 10
        for i, (at_ns, _, most) in enumerate(asked):
            if at_ns <= now_ns and left[i] > 0:
                had = min(most, tenths)
                left[i] = max(0, left[i] - had)
                tenths -= had
                if not left[i]:
                    ends[i] = now_ns + 1
        now_ns += 1
    return ends


@given(
    st.lists(
        st.tuples(st.integers(0, 400), st.integers(1, 90), st.integers(1, 10)),
        min_size=1,
        max_size=12,
    )
)
def test_limited_flows_in_order_are_as_in_a_fluid(asked: list[tuple[int, int, int]]) -> None:
    """And the server is never asked for more than it can: its busy time is at most the time."""
    asked.sort(key=lambda entry: entry[0])
    fifo, ends = Fifo(), list[int]()
    for at_ns, amount, most in asked:
        limit = None if most == 10 else Fraction(most * 10**8)
        fifo.serve(at_ns, amount, 10**9, ends.append, limit_per_s=limit)
        assert 0 <= fifo.busy_ns(at_ns) <= at_ns
    assert ends == in_order_by_fluid(asked)
    last_ns = max(ends)
    served_ns = sum(amount for _, amount, _ in asked)
    assert served_ns <= fifo.busy_ns(last_ns) <= min(last_ns, served_ns + len(asked))


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


def test_a_limit_of_its_own_holds_a_job_longer_than_its_servers() -> None:
    """1,000 bytes over 4 servers, a byte a nanosecond in all: 1,000 ns; at a tenth of it 10,000."""
    planes, ends = Servers(4), []
    planes.serve(500, 1_000, 1_000_000_000, ends.append, limit_per_s=100_000_000, pieces=4)
    planes.serve(20_000, 1_000, 1_000_000_000, ends.append, limit_per_s=2_000_000_000, pieces=4)
    assert ends == [10_500, 21_000]
