"""Erases of a tier with banks hold the planes that their pages lie in."""

from tests.workers.hardware.banked.flash import end_ns, machine
from workers.hardware.work import Demand

# 4 planes of pages of 512 B; reading one is 2,000 ns and 512 on the bus.
FLASH = {
    "page_bytes": 512, "read_latency_ns": 2_000, "capacity_bytes": 1 << 20, "endurance_cycles": 10,
    "file": {"capacity_bytes": 1 << 14, "pages_per_block": 2, "spare_blocks": 2},
}  # fmt: skip


def erase(*firsts: int, pages: int = 2) -> Demand:
    return Demand("hbm.erase", pages * len(firsts), len(firsts), pages=firsts)


def read(page: int) -> Demand:
    return Demand("hbm.read", 512, pages=(page,))


def test_an_erase_holds_its_planes_and_no_others() -> None:
    hardware = machine(**FLASH, erase_latency_ns=50_000)
    assert end_ns(hardware, erase(4)) == 50_000, "both planes at once"
    assert end_ns(hardware, read(2)) == 2_512
    assert end_ns(hardware, read(0)) == 52_512
    assert end_ns(hardware, erase(4, 6)) == 102_000, "behind what is sensed in plane 0"


def test_two_erases_of_one_plane_follow_each_other() -> None:
    hardware = machine(**FLASH, erase_latency_ns=50_000)
    assert end_ns(hardware, erase(0, 4)) == 100_000


def test_where_nothing_is_said_it_takes_ten_programs() -> None:
    assert end_ns(machine(**FLASH), erase(0)) == 10 * 10_000


def test_it_is_busy_for_its_share_of_all_planes_time() -> None:
    hardware = machine(**FLASH, erase_latency_ns=50_000)
    end_ns(hardware, erase(0))
    end_ns(hardware, erase(0))
    erases = hardware.resources["hbm.erase"]
    assert [erases.busy_ns(at) for at in (0, 49_999, 50_000, 100_000)] == [0, 0, 25_000, 50_000]


def test_without_a_file_nothing_is_erased() -> None:
    assert "hbm.erase" not in machine().resources
