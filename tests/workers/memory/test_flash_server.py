"""A memory server whose pool lies in the file behind its tier, over messages."""

from typing import TypeVar

import numpy as np
import pytest
from numpy.typing import NDArray

from configs.schema.tier import TierSpec
from tests.workers.bench import Bench, make_device, make_tier
from workers.errors import PerfuseError
from workers.flash.geometry import geometry_of
from workers.host.disk import MemoryDisk
from workers.host.trace import Noted, Ran
from workers.kv.identity import block_checksum
from workers.kv.pool_client import hash_columns, hashes_of
from workers.memory.flash_pool import FlashPool
from workers.memory.memory_server import MemoryServer
from workers.wire.kind import Kind
from workers.wire.kinds.kv import PoolBlocks, PoolDrop, PoolGet, PoolPut, PoolStored

A = TypeVar("A")
FILE = "memory.flash/hbf"
PAGE = 512
# 4 planes; 5 blocks of 4 pages, so a block has a page in each plane.
BANKED = {
    "banks": 2, "planes": 2, "page_bytes": PAGE, "capacity_bytes": 64 * PAGE,
    "write_bytes_per_s": 10**9, "read_latency_ns": 2_000, "write_latency_ns": 10_000,
    "endurance_cycles": 1_000, "erase_latency_ns": 100_000,
}  # fmt: skip
SPEC = {"capacity_bytes": 20 * PAGE, "pages_per_block": 4, "spare_blocks": 2}


def flash(**changes: object) -> TierSpec:
    return make_tier(**{**BANKED, "file": SPEC, **changes})


def stand(disk: MemoryDisk, tier: TierSpec | None = None) -> tuple[Bench, MemoryServer]:
    tiers = {"ddr": make_tier(), "hbf": tier or flash()}
    bench = Bench("chip", "memory", device=make_device(tiers, default_tier="ddr"))
    node = bench.node("memory")
    node.disk = disk
    return bench, MemoryServer(node, "memory", tier="ddr", pool_tier="hbf", pool_bytes=1 << 20)


async def call(bench: Bench, content: Kind[A]) -> A:
    deadline_ns = bench.clock.now() + 10**12
    return await bench.port("chip").call("memory", content, deadline_ns=deadline_ns)


def blocks_of(*values: int) -> NDArray[np.float32]:
    """600 bytes each: two pages."""
    return np.stack([np.arange(150, dtype=np.float32) + 1_000 * v for v in values])


def keys_of(*values: int) -> NDArray[np.uint8]:
    return hash_columns([bytes([v]) * 16 for v in values])


def sums_of(*values: int) -> list[int]:
    keys = hashes_of(keys_of(*values))
    return [block_checksum(b, key) for b, key in zip(blocks_of(*values), keys, strict=True)]


async def put(bench: Bench, *values: int) -> PoolStored:
    blocks = blocks_of(*values)
    sums = np.array(sums_of(*values), np.uint64)
    return await call(bench, PoolPut(keys_of(*values), sums, blocks))


async def get(bench: Bench, *values: int) -> PoolBlocks:
    return await call(bench, PoolGet(keys_of(*values)))


def took_ns(bench: Bench, work: str) -> list[int]:
    return [r.took_ns for r in bench.trace.records if isinstance(r, Ran) and r.work == work]


def test_blocks_outlive_the_server_and_a_flipped_byte_is_not_served() -> None:
    disk = MemoryDisk()

    async def first(bench: Bench) -> None:
        assert await put(bench, 1, 2, 3) == PoolStored(3, 0)

    stand(disk)[0].run(first)
    disk.crash(lambda name: 0.4)

    async def second(bench: Bench) -> None:
        reply = await get(bench, 1, 2, 3)
        assert np.array_equal(reply.blocks, blocks_of(1, 2, 3))
        assert reply.checksum.tolist() == sums_of(1, 2, 3)
        where = geometry_of(flash()).page_offset(3) + 90
        disk.write_at(FILE, where, bytes([disk.read_at(FILE, where, 1)[0] ^ 1]))
        assert np.array_equal((await get(bench, 1, 2, 3)).blocks, blocks_of(1))
        assert len((await get(bench, 2, 3)).index) == 0
        assert await put(bench, 1, 2, 3) == PoolStored(1, 0)
        assert np.array_equal((await get(bench, 1, 2, 3)).blocks, blocks_of(1, 2, 3))

    bench, server = stand(disk)
    assert server.pool.num_blocks == 3
    bench.run(second)
    assert server.pool.statistics.num_corrupt == 1
    server.pool.check_integrity()


def test_what_is_dropped_is_gone_after_a_crash_too() -> None:
    disk = MemoryDisk()

    async def job(bench: Bench) -> None:
        await put(bench, 1, 2, 3)
        await call(bench, PoolDrop(keys_of(2, 9)))
        assert np.array_equal((await get(bench, 1, 2, 3)).blocks, blocks_of(1))

    bench, server = stand(disk)
    bench.run(job)
    server.pool.check_integrity()
    disk.crash(lambda name: 0.0)
    _, again = stand(disk)
    assert [again.pool.contains(bytes([n]) * 16) for n in (1, 2, 3)] == [True, False, True]


def test_a_put_takes_as_long_as_its_pages_are_programmed() -> None:
    """Two pages in planes of their own: on the bus for 512 ns each, programmed side by side. The
    second has its turn at the write bandwidth 512 ns later.
    """

    async def job(bench: Bench) -> None:
        await put(bench, 1)
        await get(bench, 1)

    bench, _ = stand(MemoryDisk())
    bench.run(job)
    assert took_ns(bench, "pool_put") == [512 * 2 + 10_000]
    assert took_ns(bench, "pool_get") == [2_000 + 2 * 512]


def test_what_reclaiming_does_shows_in_time_and_in_bytes() -> None:
    """One of 10 blocks is used again and again, and stays while 59 others come and go, so its pages
    move. Puts for which a block is erased take an erase longer, and energy is of all that was
    programmed.
    """
    bench, server = stand(MemoryDisk())

    async def job(bench: Bench) -> None:
        for value in range(60):
            assert (await put(bench, value)).new == 1
            assert len((await get(bench, 0)).index) == 1

    bench.run(job)
    pool = server.pool
    assert isinstance(pool, FlashPool)
    took = took_ns(bench, "pool_put")
    assert sum(pool.flash.erases) > 10
    assert 0 < sum(ns >= 100_000 for ns in took) <= sum(pool.flash.erases)
    assert pool.flash.num_programmed > 60 * 2
    hardware = bench.node("memory").hardware
    joules = sum(hardware.meter.read(bench.clock.now(), {}).dynamic["hbf.write"].values())
    assert joules == pytest.approx(pool.flash.num_programmed * PAGE * 8 * 3e-12)


def test_without_banks_there_is_no_plane_to_hold() -> None:
    tier = flash(banks=None, planes=1, erase_latency_ns=None, read_latency_ns=0, write_latency_ns=0)
    bench, server = stand(MemoryDisk(), tier)

    async def job(bench: Bench) -> None:
        for value in range(60):
            await put(bench, value)

    bench.run(job)
    pool = server.pool
    assert isinstance(pool, FlashPool)
    assert sum(pool.flash.erases) > 10
    assert sum(took_ns(bench, "pool_put")) == pool.flash.num_programmed * PAGE


def test_a_file_that_cannot_be_opened_stays_as_it_is_and_the_pool_takes_nothing() -> None:
    disk = MemoryDisk()
    stand(disk)[0].run(lambda bench: put(bench, 1))
    raw = disk.read(FILE)
    bench, server = stand(disk, flash(file={**SPEC, "wear_spread": 16}))

    async def job(bench: Bench) -> None:
        assert await put(bench, 2) == PoolStored(0, 1)
        assert len((await get(bench, 1)).index) == 0

    bench.run(job)
    assert disk.read(FILE) == raw
    (note,) = [r for r in bench.trace.records if isinstance(r, Noted)]
    assert "wear_spread_max is 16: the flash file 'memory.flash/hbf' has 32" in str(note)
    assert server.pool.num_blocks == 0


def test_a_disk_that_fails_is_told_and_serves_nothing_until_it_is_opened_again() -> None:
    class Gone(MemoryDisk):
        is_gone = False

        def sync(self, name: str) -> None:
            if self.is_gone:
                raise OSError("no such device")
            super().sync(name)

    disk = Gone()

    async def job(bench: Bench) -> None:
        await put(bench, 1)
        disk.is_gone = True
        with pytest.raises(PerfuseError, match="memory cannot write to its disk: no such device"):
            await put(bench, 2)
        assert len((await get(bench, 1)).index) == len((await get(bench, 2)).index) == 0
        disk.is_gone = False

    stand(disk)[0].run(job)
    assert stand(disk)[1].pool.contains(bytes([1]) * 16)
