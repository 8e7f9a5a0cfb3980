"""What is synced survives a crash whole; what is not may be torn. Both disks, one contract."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.host.disk import Disk, FolderDisk, MemoryDisk


@pytest.fixture(params=["memory", "folder"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Disk:
    return MemoryDisk() if request.param == "memory" else FolderDisk(tmp_path / "disk")


def test_what_was_written_is_read_and_named(disk: Disk) -> None:
    disk.write("store/b/page-1", b"two")
    disk.write("store/a", b"one")
    disk.sync("store/a")
    disk.write("store/a", b"newer")
    assert disk.read("store/a") == b"newer"
    assert disk.names() == ["store/a", "store/b/page-1"]
    disk.delete("store/a")
    disk.delete("store/a")  # twice is no error
    assert disk.names() == ["store/b/page-1"]
    with pytest.raises(FileNotFoundError):
        disk.read("store/a")


def test_what_is_appended_stands_behind_what_was_there(disk: Disk) -> None:
    disk.append("log", b"ab")  # begins it
    disk.append("log", b"c")
    assert disk.read("log") == b"abc" and disk.names() == ["log"]
    disk.sync("log")
    disk.append("log", b"de")
    assert disk.read("log") == b"abcde"
    disk.write("log", b"x")  # replaces all of it
    disk.append("log", b"y")
    assert disk.read("log") == b"xy"
    disk.sync("log")
    disk.append("log", b"z")
    disk.delete("log")
    assert disk.names() == []
    with pytest.raises(FileNotFoundError):
        disk.read("log")


def test_a_written_array_does_not_change_with_its_source(disk: Disk) -> None:
    data = bytearray(b"abc")
    disk.write("x", memoryview(data))  # type: ignore[arg-type]
    data[0] = 0
    assert disk.read("x") == b"abc"


def test_a_folder_is_not_left(tmp_path: Path) -> None:
    disk = FolderDisk(tmp_path / "disk")
    for name in ("../outside", "/etc/passwd", "a/../../outside"):
        with pytest.raises(ValueError, match="leaves the disk's folder"):
            disk.write(name, b"no")
    assert not (tmp_path / "outside").exists()


def always(share: float) -> Callable[[str], float]:
    return lambda name: share


@given(st.binary(max_size=50), st.binary(max_size=50), st.floats(0, 1, exclude_max=True))
def test_a_crash_keeps_what_was_synced_and_a_prefix_of_what_was_not(
    synced: bytes, unsynced: bytes, share: float
) -> None:
    disk = MemoryDisk()
    disk.write("safe", synced)
    disk.sync("safe")
    disk.write("torn", unsynced)
    disk.crash(always(share))
    assert disk.read("safe") == synced
    left = disk.read("torn") if "torn" in disk.names() else b""
    assert unsynced.startswith(left)
    disk.crash(always(0.0))
    assert (disk.read("torn") if "torn" in disk.names() else b"") == left, "it is on the disk now"


def test_an_overwrite_that_was_not_synced_may_leave_old_new_or_torn() -> None:
    kept = []
    for share in (0.0, 0.5, 0.99):
        disk = MemoryDisk()
        disk.write("x", b"old!")
        disk.sync("x")
        disk.write("x", b"NEW!")
        disk.crash(always(share))
        kept.append(disk.read("x"))
    assert kept == [b"old!", b"NE", b"NEW!"]


@given(st.binary(max_size=50), st.binary(max_size=50), st.floats(0, 1, exclude_max=True))
def test_a_crash_tears_an_append_at_its_end_and_nothing_before_it(
    synced: bytes, appended: bytes, share: float
) -> None:
    disk = MemoryDisk()
    disk.append("log", synced)
    disk.sync("log")
    disk.append("log", appended[:20])
    disk.append("log", appended[20:])
    disk.crash(always(share))
    left = disk.read("log")
    assert left == (synced + appended)[: len(synced) + int(share * (len(appended) + 1))]
    disk.append("log", b"more")
    disk.crash(always(0.0))
    assert disk.read("log") == left


def test_a_crash_before_the_first_sync_may_leave_a_beginning_or_nothing() -> None:
    for share, kept in ((0.0, []), (0.5, ["log"])):
        disk = MemoryDisk()
        disk.append("log", b"abcd")
        disk.crash(always(share))
        assert disk.names() == kept
        assert not kept or disk.read("log") == b"ab"


def test_only_a_folder_makes_its_caller_wait(tmp_path: Path) -> None:
    assert FolderDisk(tmp_path / "disk").waits and not MemoryDisk().waits


def test_a_closed_folder_changes_no_more(tmp_path: Path) -> None:
    """A thread that outlives its node must not write into a folder that goes or is another's."""
    disk = FolderDisk(tmp_path / "disk")
    disk.write("kept", b"1")
    disk.close()
    for change in (
        lambda: disk.write("new", b"2"),
        lambda: disk.append("kept", b"2"),
        lambda: disk.sync("kept"),
        lambda: disk.delete("kept"),
    ):
        with pytest.raises(OSError, match="the disk disk is closed"):
            change()
    assert disk.names() == ["kept"] and disk.read("kept") == b"1"


def test_closing_a_folder_waits_for_what_is_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def slow(descriptor: int) -> None:
        begun.set()
        may_end.wait(10)

    disk = FolderDisk(tmp_path / "disk")
    disk.write("kept", b"1")
    monkeypatch.setattr(os, "fsync", slow)
    with ThreadPoolExecutor(2) as threads:
        syncing = threads.submit(disk.sync, "kept")
        assert begun.wait(10)
        closing = threads.submit(disk.close)
        assert not wait([closing], 0.05).done
        may_end.set()
        closing.result(10)
        syncing.result(10)
