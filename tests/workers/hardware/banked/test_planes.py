"""What takes a plane from reads: programming, a second sensing, a block written anew."""

import pytest

from tests.workers.hardware.banked.flash import PAGE, end_ns, flash, machine, reads, stretch, writes
from workers.hardware.latencies import percentile_ns
from workers.hardware.sharing.banked.array import Array
from workers.hardware.sharing.banked.reads import Reads
from workers.hardware.work import Demand
from workers.host.rng import Rng


def test_a_write_has_its_turn_and_its_start_up() -> None:
    """4,000 ns at a quarter of a byte a ns, and 10,000 of programming; whole pages alone."""
    assert end_ns(machine(), writes(0)) == 14_000
    assert end_ns(machine(), writes(0, size=1)) == 14_000
    assert end_ns(machine(), writes(0, 1)) == 18_000, "turn by turn, in planes apart"
    assert end_ns(machine(), writes(0, 4)) == 24_000, "in one plane one after the other"
    assert end_ns(machine(queue_depth=1), writes(0, 1)) == 28_000
    assert machine().resources["hbm.write"].busy_ns(10**6) == 0


def test_a_read_waits_for_a_plane_that_programs_and_others_do_not() -> None:
    hardware = machine()
    end_ns(hardware, writes(0))  # plane 0 is taken until 14,000
    assert end_ns(hardware, reads(1), 5_000) == 10_000
    assert end_ns(hardware, reads(4), 5_000) == 19_000
    found = hardware.latencies()
    assert sum(found["hbm.write"].values()) == 1
    assert percentile_ns(found["hbm.read"], 0.5) == pytest.approx(5_000, rel=0.016)
    assert percentile_ns(found["hbm.read"], 0.999) == pytest.approx(14_000, rel=0.016)


def test_one_bus_for_both_ways_is_taken_by_writes_too() -> None:
    """Five pages to write are on their way until 5,000, and a read would have gone at 4,000. The
    page read is none of those programmed: plane 3 of 16.
    """
    planes = {"planes": 8}
    for shared, due_ns in ((False, 5_000), (True, 6_000)):
        hardware = machine(**planes, shared_bus=shared)
        end_ns(hardware, writes(4, 5, 6, 7, 8))
        assert end_ns(hardware, reads(3)) == due_ns


def test_a_page_that_cannot_be_corrected_is_sensed_again() -> None:
    """Half of 2,000 pages by chance: 1,000, give or take 5 standard deviations of 22. The same
    ones again with the same seed, others with another.
    """
    retry = {"read_retry": {"probability": 0.5, "latency_ns": 3_000}}
    took = {}
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        hardware = machine(seed=seed, **retry)
        took[name] = [end_ns(hardware, reads(0), at) - at for at in range(0, 10**8, 50_000)]
    assert set(took["one"]) == {5_000, 8_000}
    assert 890 <= took["one"].count(8_000) <= 1_110
    assert took["one"] == took["again"] != took["other"]


def test_a_block_is_written_anew_after_so_many_reads() -> None:
    """The third read is done when it is; the fourth, in the same plane, waits 50,000 ns more."""
    hardware = machine(read_disturb={"reads": 3, "refresh_ns": 50_000})
    ends = [end_ns(hardware, reads(0), at) for at in (0, 10_000, 20_000, 30_000)]
    assert ends == [5_000, 15_000, 25_000, 24_000 + 50_000 + 5_000]
    assert end_ns(hardware, reads(1), 30_000) == 35_000


@pytest.mark.parametrize("pages", [600, 3_000])
def test_long_streams_retry_and_refresh_as_many_as_their_pages_do(pages: int) -> None:
    """A tenth of the pages, give or take 5 standard deviations; each tenth read of a plane."""
    retry = {"probability": 0.1, "latency_ns": 3_000}
    disturb = {"reads": 10, "refresh_ns": 1_000}
    array = Array(flash(read_retry=retry, read_disturb=disturb), Rng(0), "flash")
    Reads(array).take(0, stretch(0, pages), lambda _: None)
    assert abs(array.planes.num_retries - pages / 10) <= 5 * (pages * 0.09) ** 0.5
    assert array.planes.num_refreshes == 4 * (pages // 4 // 10)


def test_a_long_write_takes_its_turns_or_its_planes_time() -> None:
    """600 pages: 600 turns of 4,000 ns and the last one's programming; in four planes 150 pages
    each, of 10,000 ns, which are fewer. With programming of 20,000 ns these are what it takes.
    """
    demand = Demand("hbm.write", 600 * PAGE, 1, None, (0,))
    assert end_ns(machine(), demand) == 600 * 4_000 + 10_000
    slow = end_ns(machine(write_latency_ns=20_000), demand)
    assert 150 * 20_000 <= slow <= 150 * 20_000 + 4 * 4_000 + 1_000
