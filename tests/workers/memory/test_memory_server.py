"""A memory server over messages: search equals brute force, what was acknowledged survives."""

from typing import TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.workers.bench import Bench, make_device, make_tier
from workers.errors import CorruptMessage, InvalidRequest, NotFound
from workers.host.disk import MemoryDisk
from workers.kv.checksums import block_checksums
from workers.kv.pool_client import hash_columns
from workers.memory.hit import Hit
from workers.memory.memory_server import MemoryServer
from workers.wire.kind import Kind
from workers.wire.kinds.kv import PoolGet, PoolPut, PoolStored
from workers.wire.kinds.memory import (
    MemoryState,
    Search,
    ShardAdd,
    ShardCreate,
    ShardDelete,
    ShardDeleted,
    ShardSize,
)

A = TypeVar("A")

TIERS = {"ddr": make_tier(), "hbf": make_tier(read_bytes_per_s=10**8, page_bytes=4_096)}
DIM = 4


def stand(pool_bytes: int = 1 << 20, disk: MemoryDisk | None = None) -> tuple[Bench, MemoryServer]:
    bench = Bench("chip", "memory", device=make_device(TIERS, default_tier="ddr"))
    if disk is not None:
        bench.node("memory").disk = disk
    server = MemoryServer(
        bench.node("memory"), "memory", tier="hbf", pool_tier="ddr", pool_bytes=pool_bytes
    )
    return bench, server


async def call(bench: Bench, content: Kind[A]) -> A:
    deadline_ns = bench.clock.now() + 10**12
    return await bench.port("chip").call("memory", content, deadline_ns=deadline_ns)


async def add(
    bench: Bench, vectors: NDArray, first_id: int = 0, preloaded: bool = False
) -> ShardSize:
    ids = np.arange(first_id, first_id + len(vectors))
    texts, files = (tuple(f"{what} {i}" for i in ids) for what in ("passage", "file"))
    return await call(bench, ShardAdd("s", ids, texts, files, vectors, preloaded))


async def search(bench: Bench, queries: NDArray, top_k: int) -> tuple[tuple[Hit, ...], ...]:
    return (await call(bench, Search("s", top_k, queries))).hits


@settings(max_examples=30)
@given(st.integers(0, 2**30), st.integers(1, 40), st.integers(1, 4), st.integers(1, 50))
def test_search_equals_brute_force(seed: int, num: int, num_queries: int, top_k: int) -> None:
    """Small whole numbers: scores are exact and often equal, so ties are tested as well."""
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-2, 3, (num, DIM)).astype(np.float32)
    queries = rng.integers(-2, 3, (num_queries, DIM)).astype(np.float32)

    async def job(bench: Bench) -> None:
        await call(bench, ShardCreate("s", DIM))
        half = num // 2
        for start, part in ((0, vectors[:half]), (half, vectors[half:])):
            if len(part):
                await add(bench, part, start)
        found = await search(bench, queries, top_k)
        for scores, hits in zip(queries @ vectors.T, found, strict=True):
            best = sorted(range(num), key=lambda i: (-scores[i], i))[:top_k]
            assert [hit.passage_id for hit in hits] == best
            assert [hit.score for hit in hits] == [scores[i] for i in best]
            assert [hit.text for hit in hits] == [f"passage {i}" for i in best]

    stand()[0].run(job)


def test_a_scan_reads_every_vector_once_from_its_tier() -> None:
    """300 vectors of 16 bytes are 4800 bytes, two pages of 4 KiB at 0.1 bytes a ns."""

    async def job(bench: Bench) -> None:
        await call(bench, ShardCreate("s", DIM))
        begun_ns = bench.clock.now()
        await add(bench, np.ones((300, DIM), np.float32), preloaded=True)
        clock, hardware = bench.clock, bench.node("memory").hardware
        reading, writing = hardware.resources["hbf.read"], hardware.resources["hbf.write"]
        assert writing.busy_ns(clock.now()) == 0, "what was there before costs nothing"
        assert clock.now() > begun_ns, "only the message's way"
        await search(bench, np.ones((5, DIM), np.float32), 3)
        assert reading.busy_ns(clock.now()) == 2 * 4_096 * 10
        await add(bench, np.ones((10, DIM), np.float32), 300)
        assert writing.busy_ns(clock.now()) == 4_096

    stand()[0].run(job)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_what_was_acknowledged_is_there_after_a_crash(share: float) -> None:
    disk = MemoryDisk()
    vectors = np.random.default_rng(1).normal(size=(30, DIM)).astype(np.float32)
    queries = vectors[:3]

    async def before(bench: Bench) -> tuple:
        await call(bench, ShardCreate("s", DIM))
        await add(bench, vectors[:20])
        await add(bench, vectors[20:], 20)
        return await search(bench, queries, 5)

    async def after(bench: Bench) -> tuple:
        await call(bench, ShardCreate("s", DIM))
        return await search(bench, queries, 5)

    hits = stand(disk=disk)[0].run(before)
    disk.crash(lambda name: share)
    assert stand(disk=disk)[0].run(after) == hits


def test_a_deleted_store_is_gone_for_good_and_its_name_is_free() -> None:
    disk = MemoryDisk()

    async def job(bench: Bench) -> None:
        await call(bench, ShardCreate("s", 2))
        await add(bench, np.ones((3, 2), np.float32))
        assert await call(bench, ShardDelete("s")) == ShardDeleted(True)
        assert await call(bench, ShardDelete("s")) == ShardDeleted(False)
        with pytest.raises(NotFound, match="no vector store 's'; it has none"):
            await search(bench, np.ones((1, 2), np.float32), 1)
        await call(bench, ShardCreate("s", DIM))
        assert await search(bench, np.ones((1, DIM), np.float32), 1) == ((),)
        assert (await add(bench, np.ones((2, DIM), np.float32))).num_passages == 2

    stand(disk=disk)[0].run(job)


def test_bad_requests_are_refused_and_change_nothing() -> None:
    async def job(bench: Bench) -> None:
        await call(bench, ShardCreate("s", DIM))
        await add(bench, np.ones((3, DIM), np.float32))
        for vectors, first in (
            (np.ones((2, 7)), 5),
            (np.ones((2, DIM)), 2),
            (np.full((1, DIM), np.nan), 9),
        ):
            with pytest.raises(InvalidRequest):
                await add(bench, vectors.astype(np.float32), first)
        with pytest.raises(InvalidRequest, match="queries have shape"):
            await search(bench, np.ones((1, 9), np.float32), 1)
        assert (await call(bench, MemoryState())).stores == {"s": 3}

    stand()[0].run(job)


def keys(count: int) -> list[bytes]:
    return [bytes([i]) * 16 for i in range(count)]


async def put(bench: Bench, names: list[bytes], blocks: NDArray, checksums: NDArray) -> PoolStored:
    return await call(bench, PoolPut(hash_columns(names), checksums, blocks))


def sums(names: list[bytes], blocks: NDArray) -> NDArray:
    return block_checksums(blocks, names)


def test_the_pool_gives_the_longest_leading_run_and_lets_go() -> None:
    blocks = np.random.default_rng(2).normal(size=(4, 2, 8)).astype(np.float32)
    bench, server = stand()

    async def job(bench: Bench) -> None:
        names = keys(6)
        await put(bench, names[:4], blocks, sums(names[:4], blocks))
        for wanted, found in ((names, 4), ([names[1], names[3], names[5]], 2), ([names[5]], 0)):
            reply = await call(bench, PoolGet(hash_columns(wanted)))
            assert len(reply.index) == found
            if found:
                there = wanted[:found]
                chosen = blocks[[names.index(name) for name in there]]
                assert np.array_equal(reply.blocks, chosen)
                assert np.array_equal(reply.checksum, sums(there, chosen))
        assert server.pool.num_pinned == 0
        server.pool.check_integrity()

    bench.run(job)


def test_a_block_that_changed_on_its_way_is_not_stored() -> None:
    blocks = np.ones((2, 8), np.float32)
    bench, server = stand()

    async def job(bench: Bench) -> None:
        wrong = sums(keys(2), blocks)
        wrong[1] ^= np.uint64(1)
        with pytest.raises(CorruptMessage, match="changed on its way"):
            await put(bench, keys(2), blocks, wrong)
        assert server.pool.num_blocks == 0

    bench.run(job)


def test_a_block_that_changed_in_the_pool_is_not_served() -> None:
    blocks = np.ones((2, 8), np.float32)
    bench, server = stand()

    async def job(bench: Bench) -> None:
        await put(bench, keys(2), blocks, sums(keys(2), blocks))
        rotten = server.pool._store[keys(2)[1]].array
        rotten.flags.writeable = True
        rotten[0] = 7.0
        reply = await call(bench, PoolGet(hash_columns(keys(2))))
        assert len(reply.index) == 0
        assert server.pool.num_pinned == 0

    bench.run(job)


def test_a_pool_without_room_refuses() -> None:
    blocks = np.ones((2, 8), np.float32)

    async def job(bench: Bench) -> None:
        reply = await put(bench, keys(2), blocks, sums(keys(2), blocks))
        assert reply == PoolStored(0, 2)

    stand(pool_bytes=0)[0].run(job)
