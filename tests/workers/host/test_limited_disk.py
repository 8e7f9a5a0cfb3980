"""A full disk refuses what would take more of it, and nothing else."""

import errno
from collections.abc import Callable

import pytest

from workers.host.disk import MemoryDisk
from workers.host.limited_disk import LimitedDisk

GROWS: list[Callable[[LimitedDisk], None]] = [
    lambda disk: disk.write("new", b"x"),
    lambda disk: disk.write("old", b"x"),
    lambda disk: disk.append("old", b"x"),
    lambda disk: disk.allocate("fixed", 512),
]


@pytest.mark.parametrize("grow", GROWS)
def test_what_would_grow_fails_while_it_is_full(grow: Callable[[LimitedDisk], None]) -> None:
    disk = LimitedDisk(MemoryDisk())
    disk.write("old", b"abc")
    disk.sync("old")
    names = disk.names()
    disk.fill()
    with pytest.raises(OSError, match="No space left on device") as caught:
        grow(disk)
    assert caught.value.errno == errno.ENOSPC
    assert disk.names() == names and disk.read("old") == b"abc"
    disk.empty()
    grow(disk)


def test_what_is_there_can_be_read_overwritten_and_deleted() -> None:
    disk = LimitedDisk(MemoryDisk())
    disk.allocate("fixed", 512)
    disk.write("old", b"abc")
    disk.fill()
    disk.write_at("fixed", 100, b"xyz")
    disk.sync("fixed")
    disk.sync("old")
    assert disk.read_at("fixed", 99, 5) == b"\0xyz\0"
    assert (disk.size_bytes("fixed"), disk.size_bytes("old")) == (512, 3)
    disk.delete("old")
    assert disk.names() == ["fixed"]


def test_two_that_fill_it_both_have_to_empty_it() -> None:
    disk = LimitedDisk(MemoryDisk())
    disk.fill()
    disk.fill()
    disk.empty()
    with pytest.raises(OSError, match="No space"):
        disk.write("new", b"x")
    disk.empty()
    disk.write("new", b"x")
