"""Reads of a tier with banks by hand: plane = page % 4, bank = plane % 2; see `flash`."""

import pytest

from tests.workers.hardware.banked.flash import end_ns, machine, reads, stretch, writes
from workers.hardware.work import Demand


@pytest.mark.parametrize(
    ("pages", "due_ns"),
    [
        ((0,), 5_000),  # sensed by 4,000, there at 5,000
        ((0, 1, 2, 3), 8_000),  # sensed together, then one turn after the other
        ((0, 1, 2, 3, 4), 9_000),  # plane 0 senses page 4 by 8,000
        ((0, 4), 9_000),  # both in plane 0: 8,000 and a turn
        ((0, 4, 1), 9_000),  # page 1 takes the bus from 5,000 while page 4 is sensed
    ],
)
def test_a_page_waits_for_its_plane_and_for_the_bus(pages: tuple[int, ...], due_ns: int) -> None:
    assert end_ns(machine(), reads(*pages)) == due_ns


def test_the_bus_goes_to_who_came_first_and_its_gaps_to_those_behind() -> None:
    """Page 4 has the bus from 8,000 on; who comes later has it before that, or after it."""
    hardware = machine()
    assert end_ns(hardware, reads(0, 4)) == 9_000
    assert end_ns(hardware, reads(1), 1_000) == 6_000
    assert end_ns(hardware, reads(2), 3_500) == 9_500, "half a page before page 4, half after it"
    assert hardware.resources["hbm.read"].busy_ns(8_000) == 1_000 + 1_000 + 500
    assert hardware.resources["hbm.read"].busy_ns(20_000) == 4_000


def test_channels_do_not_see_one_another_s_planes_nor_buses() -> None:
    """Two channels of half a byte a ns: 2,000 ns a page."""
    two = {"channels": 2, "banks": 1}
    assert end_ns(machine(**two), reads(0, 1)) == 6_000
    assert end_ns(machine(**two), reads(0, 2)) == 8_000, "planes apart, one bus"
    assert end_ns(machine(**two), reads(0, 4)) == 10_000, "one plane"


def test_a_bank_keeps_the_pages_it_sensed_last() -> None:
    """Pages 0 and 2 are of bank 0. A page at hand costs its turn alone."""
    assert end_ns(machine(), reads(0, 0)) == 9_000, "sensed again"
    assert end_ns(machine(page_cache=1), reads(0, 0)) == 6_000
    assert end_ns(machine(page_cache=1), reads(0, 2, 0)) == 9_000, "page 2 took its room"
    assert end_ns(machine(page_cache=2), reads(0, 2, 0)) == 7_000
    hardware = machine(page_cache=2)
    end_ns(hardware, reads(0))
    assert end_ns(hardware, reads(0), 10_000) == 11_000
    end_ns(hardware, writes(2), 20_000)
    assert end_ns(hardware, reads(0), 60_000) == 65_000, "programming went through its room"


def test_less_than_a_page_is_sensed_as_one_and_moved_in_grains() -> None:
    assert end_ns(machine(), reads(0, size=250)) == 5_000, "the page is what is moved"
    assert end_ns(machine(read_granularity_bytes=100), reads(0, size=250)) == 4_300
    assert end_ns(machine(read_granularity_bytes=100), reads(0, 1, size=1)) == 4_200
    assert end_ns(machine(read_granularity_bytes=100), stretch(0, 1)) == 5_000
    tail = Demand("hbm.read", 1_150, 1, None, (0,))
    assert end_ns(machine(read_granularity_bytes=100), tail) == 5_200, "1,000 and 200"


def test_places_in_flight_bound_what_is_sensed_at_once() -> None:
    """With one place a page begins when the one before is there; the reader's own places alike."""
    assert end_ns(machine(queue_depth=1), reads(0, 1, 2, 3)) == 20_000
    assert end_ns(machine(), reads(0, 1, 2, 3, in_flight=1)) == 20_000
    assert end_ns(machine(prefetch=1), reads(0, 1, 2, 3)) == 20_000
    assert end_ns(machine(queue_depth=2), reads(0, 1, 2, 3)) == 11_000, "5,000, 6,000; 10,000, +1"
    assert end_ns(machine(buffer_bytes=4_000), reads(0, 1, 2, 3)) == 11_000, "two fill, two drain"


def test_what_says_nothing_of_pages_is_anywhere_and_the_same_again() -> None:
    """Drawn by the seed and what was drawn before: another machine with that seed does as much."""
    demand = Demand("hbm.read", 20_000, 20)
    ends = [[end_ns(m, demand, at) for at in (0, 10**6)] for m in (machine(), machine())]
    assert ends[0] == ends[1]
    others = {end_ns(machine(seed=seed), demand) for seed in range(8)}
    assert len(others) > 1
    fastest = 4_000 + 20 * 1_000
    assert all(fastest <= end <= 20 * 4_000 + 1_000 for end in (*others, ends[0][0]))


def test_nothing_asked_is_there_after_a_latency() -> None:
    assert end_ns(machine(), Demand("hbm.read", 0)) == 4_000
    assert end_ns(machine(), Demand("hbm.write", 0)) == 10_000
    assert machine().latencies() == {"hbm.read": {}, "hbm.write": {}}


def test_energy_is_of_the_bits_sensed_and_of_those_in_the_buffer() -> None:
    """Two pages sensed; 400 bytes come into the buffer."""
    hardware = machine(buffer_pj_per_bit=0.5, buffer_bytes=1 << 20, read_granularity_bytes=200)
    end_ns(hardware, reads(0, 1, size=150))
    assert hardware.joules == pytest.approx((2_000 * 1.0 + 400 * 0.5) * 8e-12)
