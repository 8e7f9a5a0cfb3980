"""Sizes by hand, keys refused by name, and the paper's worked life."""

import math

import pytest

from configs.flash import life_years
from workers.flash.geometry import FlashGeometry


def test_places_in_the_file() -> None:
    geometry = FlashGeometry(num_blocks=8, spare_blocks=3, pages_per_block=4, page_bytes=4096)
    # A page is 4,096 + 512; a block 2 x 512 + 4 x 4,608 = 19,456; 4 x 512 before the first.
    assert (geometry.raw_page_bytes, geometry.block_bytes) == (4608, 19_456)
    assert geometry.file_bytes == 2048 + 8 * 19_456
    assert (geometry.num_physical, geometry.num_logical) == (32, 20)
    assert geometry.page_offset(0) == 2048 + 1024
    assert geometry.page_offset(6) == 2048 + 19_456 + 1024 + 2 * 4608
    assert geometry.place(6) == "page 2 of block 1"


@pytest.mark.parametrize(
    ("key", "value", "right"),
    [
        ("page_bytes", 256, "512 .. 1048576"),
        ("page_bytes", 4097, "a multiple of 512"),
        ("pages_per_block", 0, "1 .. 65536"),
        ("spare_blocks", 1, "2 .. 7"),
        ("spare_blocks", 8, "2 .. 7"),
        ("endurance_cycles", 0, "1 .. "),
        ("endurance_spread", 1.0, "0 .. 0.99"),
        ("wear_spread_max", 0, "1 .. "),
    ],
)
def test_what_is_wrong_is_named(key: str, value: float, right: str) -> None:
    with pytest.raises(ValueError, match=f"{key} is {value}: it must be .*{right}"):
        FlashGeometry(**{"num_blocks": 8, key: value})  # type: ignore[arg-type]


def test_too_few_and_too_many_blocks() -> None:
    with pytest.raises(ValueError, match=r"spare_blocks is 2: it must be in 2 \.\. 1"):
        FlashGeometry(num_blocks=2, spare_blocks=2)
    with pytest.raises(ValueError, match="num_blocks is 4194305"):
        FlashGeometry(num_blocks=(1 << 22) + 1)


def test_life_of_the_papers_table() -> None:
    """8 stacks of 375 GB, 1e5 cycles, 6.69 TB in 10,419 s; its last cell says 14.82, rounded
    otherwise. By hand: 3e12 x 1e5 / (6.69e12 / 10,419) = 4.672e8 s = 14.8 years.
    """
    assert life_years(1e5, 8 * 375e9, 6.69e12 / 10_419) == pytest.approx(14.805, abs=0.001)


def test_life_without_writes_has_no_end_and_fewer_than_none_are_refused() -> None:
    assert life_years(1e5, 1e12, 0) == math.inf
    with pytest.raises(ValueError, match="write_bytes_per_s is -1"):
        life_years(1e5, 1e12, -1)
