"""Power failures, flipped bytes and a whole life of a flash file, on a disk in memory."""

from collections import Counter
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from benchmarks.memory.flash_load import NAME, Expected, batches, contents, differences
from workers.errors import NotFound
from workers.flash.errors import DamagedFlash, DamagedPage, FlashFull
from workers.flash.flash_file import FlashFile
from workers.flash.geometry import FlashGeometry
from workers.flash.opening import open_flash
from workers.host.disk import MemoryDisk
from workers.host.rng import Rng

# So small that every batch or two reclaims a block, and every loss meets another state.
SMALL = FlashGeometry(
    num_blocks=8, spare_blocks=3, pages_per_block=4, page_bytes=512,
    endurance_cycles=40, wear_spread_max=6,
)  # fmt: skip
# Disk operations between two power failures: opening takes about ten, a batch three or more.
# In so many of them the process alone ends: what it wrote is all there, and is not safe yet.
KILLED_ONLY = 0.2
OPERATIONS_MAX, NO_LOSS = 60, 1 << 60


class PowerLost(Exception):
    """The disk does nothing more."""


class FailingDisk(MemoryDisk):
    """Power fails after so many operations that change something."""

    def __init__(self) -> None:
        super().__init__()
        self.num_left = NO_LOSS

    def _spend(self) -> None:
        if self.num_left == 0:
            raise PowerLost
        self.num_left -= 1

    def allocate(self, name: str, size_bytes: int) -> None:
        self._spend()
        super().allocate(name, size_bytes)

    def write_at(self, name: str, offset: int, data: bytes) -> None:
        self._spend()
        super().write_at(name, offset, data)

    def sync(self, name: str) -> None:
        self._spend()
        super().sync(name)


@dataclass
class Losses:
    num_losses: int = 0
    num_batches: int = 0
    num_torn: int = 0
    num_devices: int = 0
    wrong: list[str] = field(default_factory=list)


def lose_power(num_losses: int, seed: int) -> Losses:
    """One device after another, each until it is worn out; after each loss all of it is read."""
    done, rng, chance = Losses(), np.random.default_rng(seed), Rng(seed)
    disk, expected = FailingDisk(), Expected()
    for number in range(num_losses):
        disk.num_left = int(rng.integers(1, OPERATIONS_MAX))
        while not _work_until_lost(disk, expected, rng, done):
            disk, expected = FailingDisk(), Expected()
            disk.num_left = int(rng.integers(1, OPERATIONS_MAX))
            done.num_devices += 1
        if rng.random() >= KILLED_ONLY:
            disk.crash(partial(chance.uniform, "loss", number))
        disk.num_left = NO_LOSS
        done.num_losses += 1
        try:
            flash = open_flash(disk, NAME, SMALL, chance)
        except DamagedFlash as error:
            done.wrong.append(error.message)
            disk, expected = FailingDisk(), Expected()
            continue
        done.num_torn += flash.recovered.num_torn
        done.wrong += expected.settle(flash)
    return done


def _work_until_lost(
    disk: FailingDisk, expected: Expected, rng: np.random.Generator, done: Losses
) -> bool:
    """False if the device is worn out before power fails."""
    try:
        flash = open_flash(disk, NAME, SMALL, Rng(0))
        for batch in batches(rng, SMALL, SMALL.num_logical, expected.next_version):
            expected.begin(batch)
            batch.apply(flash)
            expected.acknowledge()
            done.num_batches += 1
    except PowerLost:
        return True
    except FlashFull:
        return False
    raise AssertionError("batches have no end")


@dataclass
class Flips:
    """num_bytes  flipped, one at a time    by  how it was noticed
    unnoticed, served  offsets of flips that nothing said anything about; that changed an answer
    """

    num_bytes: int
    by: Counter[str]
    unnoticed: list[int]
    served: list[int]


def aged(geometry: FlashGeometry, num_batches: int, seed: int) -> tuple[bytes, dict[int, int]]:
    """The bytes of a device that has live, stale, discarded, void and erased pages, and what it
    holds.
    """
    disk, expected = FailingDisk(), Expected()
    flash, rng = open_flash(disk, NAME, geometry, Rng(seed)), np.random.default_rng(seed)
    drawn = batches(rng, geometry, geometry.num_logical)
    for number, batch in zip(range(num_batches), drawn, strict=False):
        expected.begin(batch)
        if number == num_batches - 2:
            disk.num_left = 1  # its pages are written, and not synced
        try:
            batch.apply(flash)
            expected.acknowledge()
        except PowerLost:
            disk.num_left = NO_LOSS
            disk.crash(partial(Rng(seed).uniform, "aged"))
            flash = open_flash(disk, NAME, geometry, Rng(seed))
            assert not expected.settle(flash)
    return disk.read(NAME), expected.versions


def flip_every_byte(
    raw: bytes, versions: dict[int, int], geometry: FlashGeometry, step: int = 1
) -> Flips:
    """Each byte of the file, or each `step`-th, in turn, then a restart: one bit, and another one
    with each byte.
    """
    offsets = range(0, len(raw), step)
    found = Flips(len(offsets), Counter(), [], [])
    for offset in offsets:
        disk = MemoryDisk()
        disk.allocate(NAME, len(raw))
        disk.write_at(NAME, 0, raw)
        disk.write_at(NAME, offset, bytes([raw[offset] ^ 1 << offset % 8]))
        disk.sync(NAME)
        try:
            flash = open_flash(disk, NAME, geometry, Rng(0))
        except DamagedFlash:
            found.by["refused to open"] += 1
            continue
        damaged = _served_wrong(flash, versions)
        if damaged is None:
            found.served.append(offset)
        elif damaged:
            found.by["page refused"] += 1
        elif flash.recovered.unreadable:
            found.by["named on opening, all pages read"] += 1
        else:
            found.unnoticed.append(offset)
    return found


def _served_wrong(flash: FlashFile, versions: dict[int, int]) -> int | None:
    """How many pages are refused as damaged; None if one is served that is not what it must be."""
    damaged = 0
    for logical in range(flash.geometry.num_logical):
        version = versions.get(logical)
        try:
            data = flash.read(logical)
        except NotFound:
            if version is not None:
                return None
        except DamagedPage:
            damaged += 1
        else:
            if version is None or data != contents(logical, version, len(data)):
                return None
    return damaged


@dataclass
class Life:
    """capacities    pages that fitted, each time it changed
    num_asked, num_programmed  pages written by batches; with lists, and what was moved
    erases          of each block at the end
    spread_max      of erase counts, until the first block is in its last cycle
    """

    num_batches: int
    num_programmed: int
    num_asked: int
    capacities: list[int]
    num_bad: int
    erases: list[int]
    spread_max: int
    refusal: str
    wrong: list[str]


def wear_out(geometry: FlashGeometry, pages_max: int, seed: int) -> Life:
    """Write until it refuses; restarts between, so that wear must survive them."""
    disk, expected, rng = MemoryDisk(), Expected(), np.random.default_rng(seed)
    flash = open_flash(disk, NAME, geometry, Rng(seed))
    life = Life(0, 0, 0, [flash.capacity_pages], 0, [], 0, "", [])
    for batch in batches(rng, geometry, pages_max):
        try:
            batch.apply(flash)
        except FlashFull as error:
            life.refusal = error.message
            break
        expected.begin(batch)
        expected.acknowledge()
        life.num_batches += 1
        life.num_asked += sum(version is not None for version in batch.versions.values())
        if not flash.num_worn_blocks and not flash.num_bad_blocks:
            life.spread_max = max(life.spread_max, max(flash.erases) - min(flash.erases))
        if flash.capacity_pages != life.capacities[-1]:
            life.capacities.append(flash.capacity_pages)
        if life.num_batches % 500 == 0:
            before, life.num_programmed = flash.erases, life.num_programmed + flash.num_programmed
            flash = open_flash(disk, NAME, geometry, Rng(seed))
            life.wrong += [f"erases {before} are {flash.erases}"] * (before != flash.erases)
    life.num_programmed += flash.num_programmed
    life.wrong += differences(flash, expected.versions)
    flash = open_flash(disk, NAME, geometry, Rng(seed))
    life.wrong += differences(flash, expected.versions)
    life.num_bad, life.erases = flash.num_bad_blocks, flash.erases
    return life
