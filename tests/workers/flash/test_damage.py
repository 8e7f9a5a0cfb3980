"""A page that changed after it was acknowledged is refused by name, and never mistaken."""

from dataclasses import replace

import pytest

from tests.workers.flash.small import GEOMETRY, NAME, flip, opened, page
from workers.errors import NotFound
from workers.flash.errors import DamagedFlash, DamagedPage
from workers.flash.pages import Kind
from workers.host.disk import MemoryDisk

# Where the first page written lies: the first of block 0.
FIRST = GEOMETRY.page_offset(0)


def test_a_damaged_page_is_refused_by_page_and_block() -> None:
    disk = MemoryDisk()
    flash = opened(disk)
    flash.write({7: page(1), 8: page(2)})
    flip(disk, GEOMETRY.page_offset(1) + 300)
    assert flash.read(7) == page(1)
    for again in (flash, opened(disk)):
        with pytest.raises(DamagedPage, match="logical page 8 is damaged: page 1 of block 0"):
            again.read(8)
        assert again.scrub() == ["logical page 8 is damaged: page 1 of block 0"]
    assert again.recovered.unreadable == ("page 1 of block 0",)


def test_the_version_before_a_damaged_one_is_not_served() -> None:
    """Neither of a page written twice, nor of the batch written last."""
    disk = MemoryDisk()
    flash = opened(disk)
    flash.write({7: page(1)})
    flash.write({7: page(2)})
    for offset in (0, 100, 511, 512, 1000, 1023):
        raw = disk.read(NAME)
        flip(disk, GEOMETRY.page_offset(1) + offset)
        with pytest.raises(DamagedPage):
            opened(disk).read(7)
        disk.write_at(NAME, 0, raw)


@pytest.mark.parametrize("sector", [0, 1])
def test_a_lost_sector_is_one_lost_page(sector: int) -> None:
    disk = MemoryDisk()
    flash = opened(disk)
    flash.write({7: page(1), 8: page(9)})
    flash.write({7: page(2)})
    disk.write_at(NAME, GEOMETRY.page_offset(2) + 512 * sector, bytes(512))
    again = opened(disk)
    assert again.read(8) == page(9)
    with pytest.raises(DamagedPage):
        again.read(7)


def test_a_page_that_is_gone_without_a_trace_closes_the_file() -> None:
    disk = MemoryDisk()
    flash = opened(disk)
    flash.write({7: page(1)})
    flash.write({7: page(2)})
    disk.write_at(NAME, GEOMETRY.page_offset(1), bytes(GEOMETRY.raw_page_bytes))
    with pytest.raises(DamagedFlash, match="1 pages are found"):
        opened(disk)


def test_a_page_swapped_with_another_is_neither() -> None:
    disk = MemoryDisk()
    flash = opened(disk)
    flash.write({7: page(1), 8: page(2)})
    size = GEOMETRY.raw_page_bytes
    both = disk.read_at(NAME, FIRST, 2 * size)
    disk.write_at(NAME, FIRST, both[size:] + both[:size])
    for logical in (7, 8):
        with pytest.raises(DamagedPage):
            flash.read(logical)
    with pytest.raises(DamagedFlash):
        opened(disk)


def test_a_damaged_page_stays_known_as_such_when_its_block_is_erased_and_writing_heals_it() -> None:
    disk = MemoryDisk()
    flash = opened(disk)
    flash.write({7: page(1), 8: page(2), 9: page(3)})
    flip(disk, FIRST + 300)
    value = 0
    while flash.erases[0] == 0:
        value = value + 1
        flash.write({0: page(value), 1: page(value)})
    for again in (flash, opened(disk)):
        assert again.held() == [0, 1, 7, 8, 9]
        assert (again.read(8), again.read(9)) == (page(2), page(3))
        with pytest.raises(DamagedPage, match="logical page 7 was damaged before it moved"):
            again.read(7)
    again.write({7: page(4)})
    assert opened(disk).read(7) == page(4) and not opened(disk).scrub()


def test_a_damaged_page_may_be_discarded_for_good() -> None:
    disk = MemoryDisk()
    flash = opened(disk)
    flash.write({7: page(1), 8: page(2)})
    flip(disk, FIRST + 300)
    for value in range(60):
        flash.write({0: page(value), 1: page(value)})
    assert flash.erases[0] > 0
    flash.trim([7])
    for value in range(200):
        flash.write({0: page(value), 1: page(value)})
        if value % 20 == 0:
            flash = opened(disk)
        with pytest.raises(NotFound):
            flash.read(7)


def test_a_damaged_discard_list_still_discards() -> None:
    disk = MemoryDisk()
    flash = opened(disk)
    flash.write({7: page(1), 8: page(2)})
    flash.trim([7])
    for offset in (72, 80, 1023 - 72, 1023 - 80):
        raw = disk.read(NAME)
        flip(disk, GEOMETRY.page_offset(2) + offset)
        again = opened(disk)
        assert again.held() == [8] and again.recovered.unreadable == ("page 2 of block 0",)
        disk.write_at(NAME, 0, raw)


def test_damage_outside_pages_is_named_and_mended() -> None:
    disk = MemoryDisk()
    flash = opened(disk)
    for value in range(60):
        flash.write({0: page(value)})
    erases = flash.erases
    number = flash._map.find(0)[1] // GEOMETRY.pages_per_block  # every page in it has the count too
    block, newest = GEOMETRY.block_offset(number), erases[number] % 2
    assert erases[number] > 0
    for offset, what in (
        (0, "superblock 0"),
        (600, "superblock 1"),
        (block + 512 * newest + 9, f"erase record {newest} of block {number}"),
        (block + 512 * (1 - newest) + 9, f"erase record {1 - newest} of block {number}"),
    ):
        raw = disk.read(NAME)
        flip(disk, offset)
        again = opened(disk)
        assert again.recovered.unreadable == (what,) and again.read(0) == page(59)
        assert again.erases == erases
        again = opened(disk)
        assert again.recovered.unreadable == () and again.erases == erases
        disk.write_at(NAME, 0, raw)


def test_what_a_torn_erase_leaves_in_a_bad_block_goes() -> None:
    geometry = replace(GEOMETRY, endurance_cycles=2)
    disk = MemoryDisk()
    flash = opened(disk, geometry)
    for value in range(48):
        flash.write({0: page(value)})
    assert flash.num_bad_blocks
    bad = flash.erases.index(2)
    first = bad * geometry.pages_per_block
    disk.write_at(NAME, geometry.page_offset(first), b"left")
    again = opened(disk, geometry)
    assert again.recovered.unreadable == (f"page 0 of block {bad}",)
    assert disk.read_at(NAME, geometry.page_offset(first), 512) == bytes(512)
    assert again.read(0) == page(47) and again.num_bad_blocks == flash.num_bad_blocks


def test_all_contents_are_what_each_page_says_by_itself() -> None:
    """Of pages written, written over and discarded, one damaged before it moved, and one since."""
    disk = MemoryDisk()
    flash = opened(disk)
    flash.write({19: page(1)})
    flip(disk, FIRST + 100)
    for number in range(12):
        flash.write({logical: page(logical + number) for logical in range(number % 4, 16, 4)})
        flash.trim([number])
    assert flash.num_moved > 0
    kind, physical, _ = flash._map.find(14)
    assert kind is Kind.DATA
    flip(disk, GEOMETRY.page_offset(physical) + 100)
    contents = dict(flash.contents())
    assert sorted(contents) == flash.held()
    assert [logical for logical, data in contents.items() if data is None] in ([14, 19], [19, 14])
    for logical, data in contents.items():
        if data is None:
            with pytest.raises(DamagedPage):
                flash.read(logical)
        else:
            assert flash.read(logical) == data
    assert dict(opened(disk).contents()) == contents
