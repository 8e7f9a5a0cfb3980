"""A blob of fixed size is written in place; a crash keeps a subset of what was not synced."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.host.disk import Disk, FolderDisk, MemoryDisk
from workers.host.rng import Rng
from workers.host.sectors import SECTOR_BYTES, SectorBlob


@pytest.fixture(params=["memory", "folder"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Disk:
    return MemoryDisk() if request.param == "memory" else FolderDisk(tmp_path / "disk")


def test_it_is_zero_at_first_and_holds_what_is_written_where(disk: Disk) -> None:
    disk.allocate("a/flash", 1500)
    assert disk.read("a/flash") == bytes(1500) and disk.names() == ["a/flash"]
    disk.write_at("a/flash", 510, b"abcd")
    disk.sync("a/flash")
    disk.write_at("a/flash", 512, b"X")
    assert disk.read_at("a/flash", 509, 6) == b"\0abXd\0"
    assert disk.size_bytes("a/flash") == 1500
    disk.allocate("a/flash", 3)
    assert disk.read("a/flash") == bytes(3)
    disk.delete("a/flash")
    assert disk.names() == []


@pytest.mark.parametrize(("offset", "data"), [(-1, b"x"), (10, b"x"), (8, b"xyz")])
def test_it_never_grows(disk: Disk, offset: int, data: bytes) -> None:
    disk.allocate("flash", 10)
    with pytest.raises(ValueError, match=f"at offset {offset} of 'flash': it has 10"):
        disk.write_at("flash", offset, data)
    with pytest.raises(ValueError, match="it has 10"):
        disk.read_at("flash", offset, len(data))
    assert disk.read("flash") == bytes(10)


def test_what_is_not_there_is_not_found(disk: Disk) -> None:
    with pytest.raises(FileNotFoundError):
        disk.read_at("flash", 0, 1)
    with pytest.raises(FileNotFoundError):
        disk.write_at("flash", 0, b"x")
    with pytest.raises(FileNotFoundError):
        disk.size_bytes("flash")


def test_in_memory_a_blob_is_used_in_one_of_two_ways() -> None:
    disk = MemoryDisk()
    disk.allocate("flash", 10)
    for write in (disk.write, disk.append):
        with pytest.raises(ValueError, match="'flash' is of fixed size"):
            write("flash", b"x")


def test_a_closed_folder_is_not_written_in_place(tmp_path: Path) -> None:
    disk = FolderDisk(tmp_path / "disk")
    disk.allocate("flash", 10)
    disk.close()
    with pytest.raises(OSError, match="the disk disk is closed"):
        disk.write_at("flash", 0, b"x")


def drawn(shares: dict[str, float]) -> Callable[[str], float]:
    """Of each key the share that a part of it names, else 0: dropped, in the order of writing."""
    return lambda key: next((share for part, share in shares.items() if part in key), 0.0)


def three_sectors() -> SectorBlob:
    blob = SectorBlob("x", 3 * SECTOR_BYTES)
    blob.write(0, b"o" * 3 * SECTOR_BYTES)
    blob.sync()
    blob.write(256, b"n" * 1024)  # the second half of 0, all of 1, the first half of 2
    return blob


@pytest.mark.parametrize(
    ("shares", "left"),
    [
        ({}, [(b"o", 1536)]),
        ({"piece": 0.5}, [(b"o", 256), (b"n", 1024), (b"o", 256)]),
        ({"piece 1": 0.5}, [(b"o", 512), (b"n", 512), (b"o", 512)]),
        # A third of [2/3, 1): so much of the piece's 256 and 512 bytes is kept.
        ({"piece 0": 0.75, "piece 1": 0.875}, [(b"o", 256), (b"n", 64), (b"o", 192), (b"n", 320),
                                               (b"o", 704)]),
    ],
)  # fmt: skip
def test_each_sector_is_dropped_whole_or_torn(shares: dict, left: list) -> None:
    blob = three_sectors()
    blob.crash(drawn(shares))
    assert blob.read(0, 1536) == b"".join(byte * count for byte, count in left)
    blob.crash(drawn({"piece": 0.5}))
    assert blob.read(0, 1536) == b"".join(byte * count for byte, count in left), "it is safe now"


def test_writes_of_one_sector_may_land_in_any_order() -> None:
    for order, last in (({"order of 0": 0.9}, b"a"), ({"order of 1": 0.9}, b"b")):
        blob = SectorBlob("x", SECTOR_BYTES)
        blob.write(0, b"a")
        blob.write(0, b"b")
        blob.crash(drawn({**order, "piece": 0.5}))
        assert blob.read(0, 1) == last


def test_one_that_was_never_synced_may_be_gone() -> None:
    for share, names in ((0.4, []), (0.6, ["flash"])):
        disk = MemoryDisk()
        disk.allocate("flash", 10)
        disk.crash(lambda key, share=share: share)  # type: ignore[misc]
        assert disk.names() == names


def test_other_blobs_of_the_disk_draw_what_they_always_did() -> None:
    kept = []
    for has_flash in (False, True):
        disk = MemoryDisk()
        disk.write("log", bytes(range(100)))
        if has_flash:
            disk.allocate("flash", 4096)
            disk.write_at("flash", 0, b"x" * 4096)
        disk.crash(lambda key: Rng(3).uniform(key))
        kept.append(disk.read("log"))
    assert kept[0] == kept[1] and 0 < len(kept[0]) < 100


WRITES = st.lists(st.tuples(st.integers(0, 1400), st.binary(min_size=1, max_size=600)), max_size=6)


@given(WRITES, WRITES, st.integers(0, 1000))
def test_every_byte_after_a_crash_was_written_there(
    synced: list, unsynced: list, seed: int
) -> None:
    """Against a plain model: the bytes that each offset may hold."""
    size = 2048
    blob, now = SectorBlob("x", size), bytearray(size)
    for offset, data in synced:
        blob.write(offset, data)
        now[offset : offset + len(data)] = data
    blob.sync()
    may = [{byte} for byte in now]
    for offset, data in unsynced:
        blob.write(offset, data)
        now[offset : offset + len(data)] = data
        for index, byte in enumerate(data):
            may[offset + index].add(byte)
    assert blob.read(0, size) == now
    blob.crash(Rng(seed).uniform)
    assert all(byte in allowed for byte, allowed in zip(blob.read(0, size), may, strict=True))
