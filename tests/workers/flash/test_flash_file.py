"""Pages in, pages out; what is refused; what survives a restart."""

from pathlib import Path

import pytest

from tests.workers.flash.small import GEOMETRY, NAME, opened, page
from workers.errors import InvalidRequest, NotFound
from workers.flash.errors import DamagedFlash, FlashFull
from workers.flash.geometry import FlashGeometry
from workers.flash.opening import open_flash
from workers.host.disk import FolderDisk, MemoryDisk
from workers.host.rng import Rng


class CountingDisk(MemoryDisk):
    num_syncs = 0
    fails_at = -1

    def sync(self, name: str) -> None:
        self.num_syncs += 1
        if self.num_syncs == self.fails_at:
            raise OSError("no more")
        super().sync(name)


def test_pages_come_back_as_they_were_written_last() -> None:
    flash = opened(MemoryDisk())
    flash.write({3: page(1), 19: page(2)})
    flash.write({3: page(3)})
    assert flash.read(3) == page(3) and flash.read(19) == page(2)
    assert flash.held() == [3, 19] and flash.num_held == 2
    with pytest.raises(NotFound, match="logical page 4 is not written"):
        flash.read(4)


@pytest.mark.parametrize("kind", ["memory", "folder"])
def test_pages_wear_and_discards_survive_a_restart(kind: str, tmp_path: Path) -> None:
    disk = MemoryDisk() if kind == "memory" else FolderDisk(tmp_path / "disk")
    flash = open_flash(disk, NAME, GEOMETRY, Rng(1))
    for value in range(100):
        flash.write({value % 5: page(value)})
    flash.trim([2, 17])
    erases = flash.erases
    assert sum(erases) > 8
    again = open_flash(disk, NAME, GEOMETRY, Rng(99))  # its limits were drawn long ago
    assert again.erases == erases
    assert [again.read(i) for i in again.held()] == [page(95), page(96), page(98), page(99)]
    assert again.held() == [0, 1, 3, 4] and not again.recovered.unreadable
    assert again.remaining_bytes == flash.remaining_bytes


def test_a_discarded_page_stays_discarded_however_often_it_was_written() -> None:
    disk = MemoryDisk()
    flash = opened(disk)
    for value in range(30):
        flash.write({0: page(value), 1: page(value)})
    flash.trim([0])
    for value in range(100):
        flash.write({1: page(value)})
        if value % 9 == 0:
            flash = opened(disk)
        assert flash.held() == [1]
    flash.write({0: page(7)})
    assert opened(disk).read(0) == page(7)


def test_a_batch_costs_one_sync() -> None:
    disk = CountingDisk()
    flash = opened(disk)
    before = disk.num_syncs
    flash.write({i: page(i) for i in range(4)})
    flash.trim([0, 1, 2])
    assert disk.num_syncs == before + 2
    assert flash.num_programmed == 5 and flash.num_moved == 0


def test_what_is_no_whole_page_is_refused_and_changes_nothing() -> None:
    flash = opened(MemoryDisk())
    flash.write({1: page(1)})
    for pages, why in (
        ({1: page(2), 2: b"short"}, "logical page 2 is given 5 bytes: .* 512 bytes each"),
        ({1: page(2), 20: page(2)}, r"there is no logical page 20: they are 0 \.\. 19"),
        ({-1: page(2)}, "there is no logical page -1"),
        ({i: page(2) for i in range(5)}, "a batch of 5 pages: at most 4"),
    ):
        with pytest.raises(InvalidRequest, match=why):
            flash.write(pages)
    with pytest.raises(InvalidRequest, match="there is no logical page 20"):
        flash.trim([1, 20])
    with pytest.raises(InvalidRequest, match="there is no logical page 20"):
        flash.read(20)
    assert flash.held() == [1] and flash.read(1) == page(1)


def test_all_of_its_capacity_can_be_held_and_written_anew() -> None:
    disk = MemoryDisk()
    flash = opened(disk)
    for value in range(1, 60):
        first = value * 4 % 20
        flash.write({first + i: page(value + i) for i in range(4)})
    assert flash.num_held == flash.capacity_pages == 20
    assert opened(disk).num_held == 20


def test_a_worn_device_refuses_by_its_numbers_and_keeps_what_it_holds() -> None:
    geometry = FlashGeometry(
        num_blocks=8, spare_blocks=3, pages_per_block=4, page_bytes=512,
        endurance_cycles=3, endurance_spread=0,
    )  # fmt: skip
    disk = MemoryDisk()
    flash = opened(disk, geometry)
    held: dict[int, bytes] = {}
    for value in range(1000):
        try:
            flash.write({value % 7: page(value)})
        except FlashFull as error:
            refused = error
            break
        held[value % 7] = page(value)
    # 8 blocks x 4 pages x 3 cycles are 96 programs; the reserve's last cycle is never used up.
    assert 80 <= value <= 96
    assert refused.facts["num_held"] == 7 and flash.capacity_pages < 7
    assert refused.facts["capacity_pages"] == flash.capacity_pages
    assert "7 are held" in refused.message and "of 20 of a new device" in refused.message
    for again in (flash, opened(disk, geometry)):
        assert {logical: again.read(logical) for logical in again.held()} == held
        with pytest.raises(FlashFull):
            again.write({0: page(1)})
    assert max(flash.erases) <= 3


def test_after_the_disk_failed_nothing_is_served_until_it_is_opened_again() -> None:
    disk = CountingDisk()
    flash = opened(disk)
    flash.write({1: page(1)})
    disk.fails_at = disk.num_syncs + 1
    with pytest.raises(OSError, match="no more"):
        flash.write({1: page(2)})
    for use in (lambda: flash.read(1), lambda: flash.write({1: page(3)}), lambda: flash.trim([1])):
        with pytest.raises(DamagedFlash, match="open the file again"):
            use()
    assert opened(disk).read(1) in (page(1), page(2))


def test_wear_spreads_over_blocks_whose_pages_never_change() -> None:
    geometry = FlashGeometry(
        num_blocks=12, spare_blocks=4, pages_per_block=4, page_bytes=512, wear_spread_max=5
    )
    disk = MemoryDisk()
    flash = opened(disk, geometry)
    for first in range(4, 28, 4):  # 24 cold pages
        flash.write({first + i: page(first) for i in range(4)})
    for value in range(2000):
        flash.write({value % 4: page(value)})
    erases = flash.erases
    assert min(erases) > 20 and max(erases) - min(erases) <= 5 + 1
    assert all(flash.read(first + i) == page(first) for first in range(4, 28, 4) for i in range(4))
    assert flash.num_moved < flash.num_programmed / 3


def test_its_life_in_years_shrinks_with_each_cycle() -> None:
    """8 blocks x 4 pages x 512 B x 100,000 cycles are 1.6384e9 B; at 100 B/s 1.6384e7 s, which is
    0.519 of 31,557,600 s.
    """
    flash = opened(MemoryDisk())
    assert flash.remaining_bytes == 1_638_400_000
    assert flash.remaining_years(100) == pytest.approx(0.5192, abs=1e-4)
    for value in range(100):
        flash.write({0: page(value)})
    assert flash.remaining_bytes == 1_638_400_000 - sum(flash.erases) * 2048
    assert sum(flash.erases) > 10
