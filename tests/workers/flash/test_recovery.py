"""What a restart makes of a file that a crash has left."""

import numpy as np
import pytest

from tests.workers.flash.small import (
    GEOMETRY,
    NAME,
    crash,
    is_commit_record,
    opened,
    page,
    unsynced,
)
from workers.errors import NotFound
from workers.flash.blocks import Blocks
from workers.flash.errors import DamagedFlash
from workers.flash.geometry import FlashGeometry
from workers.flash.opening import open_flash
from workers.flash.page_map import PageMap
from workers.flash.pages import Kind
from workers.flash.recovery import _reopen
from workers.host.disk import MemoryDisk
from workers.host.rng import Rng


class PowerLost(Exception):
    pass


class StoppingDisk(MemoryDisk):
    """The next sync finds no power."""

    stops = False

    def sync(self, name: str) -> None:
        if self.stops:
            self.stops = False
            raise PowerLost
        super().sync(name)


def lost_amid(disk: StoppingDisk, flash, pages: dict[int, bytes], keeps) -> None:
    """Power fails before the batch is synced; of its sectors those stay that `keeps`."""
    disk.stops = True
    with pytest.raises(PowerLost):
        flash.write(pages)
    crash(disk, keeps)


@pytest.mark.parametrize("lost", range(8))
def test_a_batch_of_which_any_sector_is_lost_is_gone_whole(lost: int) -> None:
    disk = StoppingDisk()
    flash = opened(disk)
    flash.write({0: page(1), 1: page(2)})
    batch = {0: page(3), 1: page(4), 2: page(5), 3: page(6)}  # 4 pages of 2 sectors
    disk.stops = True
    with pytest.raises(PowerLost):
        flash.write(batch)
    offsets = [offset for offset in unsynced(disk) if not is_commit_record(offset)]
    assert len(offsets) == 8
    crash(disk, lambda offset: offset != offsets[lost])
    again = opened(disk)
    assert (again.held(), again.read(0), again.read(1)) == ([0, 1], page(1), page(2))
    assert again.recovered.num_torn == 4 and len(again.recovered.unreadable) == 1
    again.write(batch)
    last = opened(disk)
    assert last.held() == [0, 1, 2, 3] and last.read(3) == page(6)
    assert not last.recovered.unreadable and not last.recovered.num_torn


def test_a_batch_that_is_whole_stands_though_nobody_was_told() -> None:
    disk = StoppingDisk()
    flash = opened(disk)
    flash.write({0: page(1)})
    lost_amid(disk, flash, {0: page(2), 5: page(3)}, lambda offset: True)
    again = opened(disk)
    assert (again.read(0), again.read(5)) == (page(2), page(3))


def test_an_acknowledged_batch_stands_without_its_commit_record() -> None:
    disk = MemoryDisk()
    flash = opened(disk)
    flash.write({0: page(1)})
    flash.write({0: page(2), 5: page(3)})
    assert all(is_commit_record(offset) for offset in unsynced(disk))
    crash(disk, lambda offset: False)
    assert (opened(disk).read(0), opened(disk).read(5)) == (page(2), page(3))


def test_no_block_is_erased_while_its_pages_vouch_for_a_batch() -> None:
    """Batch A fills a block and begins another, B makes the first one stale; the records of both
    are lost. Then the first block is erased, and power fails before anything else is safe.
    """
    disk = StoppingDisk()
    flash = opened(disk)
    flash.write({0: page(1), 1: page(2)})
    flash.write({2: page(3), 3: page(4), 4: page(5), 5: page(6)})  # A: two pages in each block
    lost_amid(
        disk,
        flash,
        {0: page(7), 1: page(7), 2: page(7), 3: page(7)},  # B
        lambda offset: not is_commit_record(offset),
    )
    again = opened(disk)
    assert again.read(5) == page(6) and again.read(0) == page(7)
    crash(disk, lambda offset: False)  # and what opening wrote as well
    again = opened(disk)
    again._log._erase(0)
    crash(disk, lambda offset: not is_commit_record(offset))
    last = opened(disk)
    assert [last.read(i) for i in range(6)] == [page(7)] * 4 + [page(5), page(6)]


def test_a_kill_and_then_a_power_failure_lose_nothing_that_was_read_between() -> None:
    """After kill -9 the pages of the batch under way are in the machine's memory alone."""
    disk = StoppingDisk()
    flash = opened(disk)
    disk.stops = True
    with pytest.raises(PowerLost):
        flash.write({0: page(1)})
    again = opened(disk)
    assert again.read(0) == page(1)
    crash(disk, lambda offset: False)
    assert opened(disk).read(0) == page(1)


@pytest.mark.parametrize("kept", ["nothing", "one superblock", "both"])
def test_making_it_may_be_cut_short(kept: str) -> None:
    disk = StoppingDisk()
    disk.allocate(NAME, GEOMETRY.file_bytes)
    disk.sync(NAME)
    disk.stops = True
    with pytest.raises(PowerLost):
        opened(disk)  # blank: it is made again, up to the sync of the file's size
    disk.stops = False
    if kept == "nothing":
        crash(disk, lambda offset: False)
    else:
        flash = opened(disk)
        raw = disk.read(NAME)
        assert raw[:512] != bytes(512)
        disk.write_at(NAME, 0, bytes(512) if kept == "one superblock" else raw[:512])
        disk.sync(NAME)
    flash = opened(disk)
    flash.write({0: page(1)})
    assert opened(disk).read(0) == page(1)


def test_its_size_is_safe_before_it_says_what_it_is() -> None:
    """Else a file that is cut might say that it holds pages."""
    done: list[str] = []

    class Noting(MemoryDisk):
        def sync(self, name: str) -> None:
            done.append("sync" if any(self.read(name)) else "sync of zeros")
            super().sync(name)

    opened(Noting())
    assert done[:2] == ["sync of zeros", "sync"]


def test_it_goes_on_in_the_block_that_was_written_last() -> None:
    blocks = Blocks(
        GEOMETRY, np.full(8, 9), np.zeros(8, np.int64), np.array([4, 2, 3, 0, 0, 0, 0, 0])
    )
    page_map = PageMap(GEOMETRY)
    page_map.place(4, Kind.DATA, (1,), 20)
    page_map.place(8, Kind.DATA, (2,), 10)
    _reopen(blocks, page_map, 4)
    assert blocks.open == 1 and list(blocks.written[:4]) == [4, 2, 4, 0]


def test_another_geometry_is_refused_by_its_key() -> None:
    disk = MemoryDisk()
    opened(disk).write({0: page(1)})
    other = FlashGeometry(num_blocks=8, spare_blocks=2, pages_per_block=4, page_bytes=512)
    with pytest.raises(ValueError, match="spare_blocks is 2: the flash file 'node/hbf' has 3"):
        open_flash(disk, NAME, other, Rng(1))
    assert opened(disk).read(0) == page(1)


def test_a_file_that_is_cut_or_without_superblocks_is_never_made_anew() -> None:
    disk = MemoryDisk()
    opened(disk).write({0: page(1)})
    raw = disk.read(NAME)
    for left in (raw[:-512], bytes(1024) + raw[1024:]):
        disk = MemoryDisk()
        disk.allocate(NAME, len(left))
        disk.write_at(NAME, 0, left)
        with pytest.raises(DamagedFlash):
            opened(disk)
        assert disk.read(NAME) == left


def test_an_old_file_is_served_again_but_never_a_part_of_one() -> None:
    """A block as it was before, under records of today: its pages are whole and sealed."""
    disk = MemoryDisk()
    flash = opened(disk)
    flash.write({0: page(1)})
    begins = GEOMETRY.block_offset(0)
    before = disk.read_at(NAME, begins, GEOMETRY.block_bytes)
    flash.write({0: page(2)})
    disk.write_at(NAME, begins, before)
    with pytest.raises(DamagedFlash, match="does not hold all that was acknowledged"):
        opened(disk)
    with pytest.raises(NotFound):
        opened(MemoryDisk()).read(0)
