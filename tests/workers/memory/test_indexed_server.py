"""A memory server whose store has an index: trained as the store grows, paid for, there again after
a restart.
"""

import numpy as np
import pytest

from tests.workers.memory.index.vectors import DIM, clustered, on_axes
from tests.workers.memory.test_memory_server import call, stand
from workers.errors import InvalidRequest
from workers.host.disk import MemoryDisk
from workers.memory import shard_log
from workers.memory.index import choice
from workers.memory.index.choice import IndexChoice
from workers.memory.memory_server import MemoryServer
from workers.wire.kinds.memory import Search, ShardAdd, ShardCreate

QUERIES = clustered(5, seed=3)


@pytest.fixture(autouse=True)
def _small(monkeypatch) -> None:
    """256 code words can be told from 256 passages, if badly; half as many lists as passages."""
    monkeypatch.setattr(choice, "ROWS_MIN", 300)
    monkeypatch.setattr(choice, "POINTS_PER_CENTROID_MIN", 1)


async def create(bench, kind: str, **sizes: int) -> None:
    await call(bench, ShardCreate("s", DIM, {"kind": kind, **sizes}))


async def add(bench, vectors: np.ndarray, first_id: int, *, preloaded: bool = False) -> None:
    ids = np.arange(first_id, first_id + len(vectors))
    texts = tuple(f"passage {i}" for i in ids)
    await call(bench, ShardAdd("s", ids, texts, ("f",) * len(ids), vectors, preloaded))


async def found(bench) -> object:
    return (await call(bench, Search("s", 10, QUERIES))).hits


@pytest.mark.parametrize("kind", ["ivf_flat", "ivf_pq"])
def test_a_restart_finds_what_was_found_before_by_the_same_index(kind: str) -> None:
    disk = MemoryDisk()
    vectors = clustered(900)
    before: list[object] = []

    async def fill(bench) -> None:
        await create(bench, kind, nlist=30, nprobe=3)
        for start in range(0, 900, 150):
            await add(bench, vectors[start : start + 150], start)
            await bench.clock.wait_until(bench.clock.now() + 10**12)
        before.append(await found(bench))

    async def look(bench) -> None:
        assert await found(bench) == before[0]

    bench, server = stand(disk=disk)
    bench.run(fill)
    quantizer = server._shards["s"].quantizer
    # Trained at 300, and again at twice that.
    assert quantizer is not None and quantizer.num_rows == 600
    again, restarted = stand(disk=disk)
    learned = restarted._shards["s"].quantizer
    assert learned is not None and learned.pack() == quantizer.pack()
    again.run(look)


def test_what_is_preloaded_is_indexed_at_no_cost_and_what_is_added_later_is_paid() -> None:
    async def job(bench) -> None:
        await create(bench, "ivf_flat")
        hardware, clock = bench.node("memory").hardware, bench.clock
        reading = hardware.resources["hbf.read"]
        await add(bench, clustered(400), 0, preloaded=True)
        assert reading.busy_ns(clock.now()) == 0
        await add(bench, clustered(500, seed=1), 400)
        await clock.wait_until(clock.now() + 10**12)
        assert reading.busy_ns(clock.now()) > 0, "900 are twice as many as 400: trained again"

    bench, server = stand()
    bench.run(job)
    quantizer = server._shards["s"].quantizer
    assert quantizer is not None and quantizer.num_rows == 900


def test_a_tier_moves_a_page_at_least_for_each_access() -> None:
    """Pages of 4 KiB at 0.1 bytes a ns. Eight centroids of 32 bytes: one. Two lists of 250 entries
    of 12 bytes: one each. 32 vectors of 32 bytes: one each.
    """
    choice_of = IndexChoice("ivf_pq", nlist=8, nprobe=2, m=4, rerank=32)

    async def job(bench) -> None:
        await create(bench, "ivf_pq")
        server._shards["s"] = on_axes(2_000, choice_of)
        reading, clock = bench.node("memory").hardware.resources["hbf.read"], bench.clock
        query = np.array([[3, 2, 0, 0, 0, 0, 0, 0]], np.float32)
        (hits,) = (await call(bench, Search("s", 10, query))).hits
        assert reading.busy_ns(clock.now()) == (1 + 2 + 32) * 4_096 * 10
        assert [hit.score for hit in hits] == [3] * 10

    bench, server = stand()
    bench.run(job)


def test_an_exact_store_never_has_an_index() -> None:
    async def job(bench) -> None:
        await call(bench, ShardCreate("s", DIM))
        await add(bench, clustered(900), 0)
        await bench.clock.wait_until(bench.clock.now() + 10**12)

    bench, server = stand()
    bench.run(job)
    assert server._shards["s"].quantizer is None


def test_an_index_that_fits_no_such_vectors_is_refused() -> None:
    async def job(bench) -> None:
        with pytest.raises(InvalidRequest, match="m is 3: it must divide the 8 values"):
            await create(bench, "ivf_pq", m=3)
        with pytest.raises(InvalidRequest, match="none that there is"):
            await create(bench, "hnsw")
        await create(bench, "ivf_pq", m=4)

    stand()[0].run(job)


def test_segments_are_merged_while_the_server_runs_and_that_is_paid(monkeypatch) -> None:
    """250 passages one by one, of 96 bytes or so: a segment is full with some 104 of them."""
    monkeypatch.setattr(shard_log, "SEGMENT_BYTES", 10_000)
    disk = MemoryDisk()

    async def job(bench) -> None:
        await call(bench, ShardCreate("s", DIM))
        for i in range(250):
            await add(bench, clustered(1, seed=i), i)
        await bench.clock.wait_until(bench.clock.now() + 10**12)
        reading = bench.node("memory").hardware.resources["hbf.read"]
        assert reading.busy_ns(bench.clock.now()) > 0

    def names() -> list[str]:
        return [name.rpartition("-")[2] for name in disk.names()]

    bench, server = stand(disk=disk)
    bench.run(job)
    assert names() == ["00000001.00000001", "00000002.00000002", "00000003"]
    shard: MemoryServer = stand(disk=disk)[1]
    assert shard._shards["s"].texts == server._shards["s"].texts
