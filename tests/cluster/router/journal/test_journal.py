"""What was appended is there after a crash, files stay small, and the event loop never waits."""

import asyncio
import random
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from cluster.router.journal.codec import encode
from cluster.router.journal.journal import Journal
from cluster.router.journal.recovery import FOLDER, file_of, recover
from cluster.router.machine.events import RequestSubmitted
from cluster.router.machine.machine import Machine
from cluster.router.machine.state import RouterState
from tests.cluster.router.machine.outside import Outside
from tests.cluster.router.machine.requests import asked, fresh, machine, tokenizer
from tests.cluster.router.machine.schedule import step
from workers.errors import PerfuseError
from workers.host.disk import Disk, FolderDisk, MemoryDisk


def nobody(coroutine: Coroutine[Any, Any, Any], name: str) -> "asyncio.Task[Any]":
    raise AssertionError(f"{name} needs no task")


def spawn(coroutine: Coroutine[Any, Any, Any], name: str) -> "asyncio.Task[Any]":
    return asyncio.get_running_loop().create_task(coroutine, name=name)


def submitted(number: int) -> RequestSubmitted:
    return RequestSubmitted(number, asked(f"r{number}"), 10**9, "gateway", 1)


def recovered(disk: Disk) -> RouterState:
    state = recover(disk, tokenizer()).state
    assert state is not None
    return state


def always(share: float) -> Callable[[str], float]:
    return lambda name: share


class Player:
    """A machine in a random world, with its journal on `disk`."""

    def __init__(self, disk: Disk, compact_bytes: int) -> None:
        self.machine = machine()
        self.journal = Journal(disk, nobody, compact_bytes=compact_bytes)
        self.journal.begin(self.machine.state)
        self.outside = Outside(
            self.machine,
            lambda event, _: self.journal.append(encode(event), self.machine.state),
        )


@pytest.mark.parametrize("compact_bytes", [1, 5_000, 1 << 20])
def test_a_journal_gives_the_state_back_at_any_time(compact_bytes: int) -> None:
    for seed in range(20):
        disk, chance = MemoryDisk(), random.Random(seed)
        player = Player(disk, compact_bytes)
        for _ in range(60):
            step(player.outside, chance)
            if chance.random() < 0.3:
                disk.crash(always(chance.random()))
                assert recovered(disk) == player.machine.state
        assert len(disk.names()) == 1


def test_a_journal_is_bounded_by_the_state_and_not_by_what_happened() -> None:
    disk, chance = MemoryDisk(), random.Random(20)
    player, sizes, states = Player(disk, 4_000), [], []
    for _ in range(6_000):
        step(player.outside, chance)
        sizes.append(sum(len(disk.read(name)) for name in disk.names()))
        states.append(len(encode(player.machine.state)))
    largest_record = 3_000
    assert max(sizes) < 4_000 + 2 * max(states) + largest_record
    assert disk.names()[0] > file_of(20), "it was begun anew again and again"


def test_a_torn_compaction_falls_back_to_the_file_before_it() -> None:
    """The old file goes only when the new one is safe."""
    disk = MemoryDisk()
    player, chance = Player(disk, 1 << 20), random.Random(5)
    for _ in range(60):
        step(player.outside, chance)
    old, expected = disk.read(file_of(1)), player.machine.state
    player.journal.begin(expected)
    new = disk.read(file_of(2))
    assert disk.names() == [file_of(2)]
    for cut in (0, 3, 8, 20, len(new) - 1, len(new)):
        torn = MemoryDisk()
        torn.append(file_of(1), old)
        torn.append(file_of(2), new[:cut])
        found = recover(torn, tokenizer())
        assert found.state is not None
        assert found.state == expected and found.generations == (1, 2)
        again = Journal(torn, nobody, found.generations)
        again.begin(found.state)
        assert torn.names() == [file_of(3)] and recovered(torn) == expected


def test_a_disk_without_a_journal_has_no_state() -> None:
    disk = MemoryDisk()
    disk.write("vs_1/00000001/page-00000000", b"a shard's")
    assert recover(disk, tokenizer()).state is None
    disk.append(file_of(1), b"PF")  # torn at its very beginning
    assert recover(disk, tokenizer()).state is None


def test_what_does_not_follow_from_what_is_before_it_is_refused() -> None:
    disk = MemoryDisk()
    journal = Journal(disk, nobody)
    journal.begin(fresh())
    offset = len(disk.read(file_of(1)))
    journal.append(encode(submitted(1)), fresh())
    second = len(disk.read(file_of(1)))
    journal.append(encode(submitted(1)), fresh())
    with pytest.raises(ValueError, match=rf"{FOLDER}/00000001: byte {second}: does not follow"):
        recover(disk, tokenizer())
    other = MemoryDisk()
    journal = Journal(other, nobody)
    journal.begin(fresh())
    journal.append(b"NoSuchEvent {}", fresh())
    with pytest.raises(ValueError, match=rf"byte {offset}: is no record of ours"):
        recover(other, tokenizer())


# -- on a disk that makes its caller wait ----------------------------------------------------------


class SlowDisk(FolderDisk):
    """Its sync waits until it is let go."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.num_syncs = 0
        self.syncing = threading.Event()
        self.may_go_on = threading.Event()
        self.error: OSError | None = None

    def sync(self, name: str) -> None:
        self.num_syncs += 1
        self.syncing.set()
        assert self.may_go_on.wait(20), "the test lets it go"
        if self.error is not None:
            raise self.error
        super().sync(name)


def in_loop(job: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        await job()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    asyncio.run(main())


def test_many_events_share_a_sync_and_nobody_waits_for_it_who_need_not(tmp_path: Path) -> None:
    disk = SlowDisk(tmp_path / "disk")

    async def job() -> None:
        live = Machine(fresh(), tokenizer())
        journal = Journal(disk, spawn)
        journal.begin(live.state)
        await asyncio.to_thread(disk.syncing.wait, 20)
        for number in range(200):
            live.apply(submitted(number))
            journal.append(encode(submitted(number)), live.state)
        waits = spawn(journal.committed(), "waits")
        await asyncio.sleep(0)
        assert not waits.done() and disk.num_syncs == 1, "the loop went on beside the first sync"
        disk.may_go_on.set()
        await waits
        assert disk.num_syncs == 2, "one for the state, one for all 200"
        assert recovered(disk) == live.state
        await journal.committed()  # at once
        live.apply(submitted(200))
        journal.append(encode(submitted(200)), live.state)
        await journal.committed()
        assert disk.num_syncs == 3 and recovered(disk) == live.state

    in_loop(job)


def test_compaction_on_a_folder_keeps_one_file(tmp_path: Path) -> None:
    disk = FolderDisk(tmp_path / "disk")

    async def job() -> None:
        live = Machine(fresh(), tokenizer())
        journal = Journal(disk, spawn, compact_bytes=3_000)
        journal.begin(live.state)
        for number in range(100):
            live.apply(submitted(number))
            journal.append(encode(submitted(number)), live.state)
            if number % 7 == 0:
                await journal.committed()
        await journal.committed()
        assert recovered(disk) == live.state and len(disk.names()) == 1
        assert disk.names()[0] > file_of(2)

    in_loop(job)


def test_a_disk_that_fails_is_told_to_whoever_waits_and_nothing_is_promised(tmp_path: Path) -> None:
    disk = SlowDisk(tmp_path / "disk")
    disk.error = OSError(28, "No space left on device")

    async def job() -> None:
        tasks = []

        def spawn_writer(coroutine: Coroutine[Any, Any, Any], name: str) -> "asyncio.Task[Any]":
            tasks.append(spawn(coroutine, name))
            return tasks[0]

        journal = Journal(disk, spawn_writer)
        journal.begin(fresh())
        waits = spawn(journal.committed(), "waits")
        await asyncio.sleep(0)
        disk.may_go_on.set()
        for _ in range(2):
            with pytest.raises(PerfuseError, match=r"cannot be written: .*No space left"):
                await waits
            journal.append(encode(submitted(1)), fresh())
            waits = spawn(journal.committed(), "waits")
        with pytest.raises(PerfuseError):
            await waits
        (writer,) = tasks
        with pytest.raises(OSError, match="No space left"):
            await writer

    in_loop(job)
