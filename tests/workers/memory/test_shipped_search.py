"""A chip that has all vectors shipped to it finds what memory servers find beside their memory, and
it is the chip, the servers' tiers and the links that pay for it.
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cluster.retrieval.spread import merge
from tests.workers.bench import Bench, make_device, make_tier
from workers.errors import InvalidRequest, NotFound, PeerDead
from workers.memory import shipping
from workers.memory.hit import Hit
from workers.memory.memory_server import MemoryServer
from workers.memory.shipped_search import ShippedSearch
from workers.wire.kind import Kind
from workers.wire.kinds.memory import Search, ShardAdd, ShardCreate, ShardTakeBack
from workers.wire.kinds.shipping import SearchShipped, Vectors

DIM = 4
TIERS = {"hbm": make_tier(), "ddr": make_tier()}
NO_IDS = np.zeros(0, np.int64)
Found = list[list[Hit]]
A = TypeVar("A")


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three vectors each."""
    monkeypatch.setattr(shipping, "PIECE_BYTES_MAX", 3 * 4 * DIM)


def stand(num_servers: int) -> tuple[Bench, list[str]]:
    names = [f"memory-{i}" for i in range(num_servers)]
    bench = Bench("router", "chip", *names, device=make_device(TIERS, default_tier="hbm"))
    for name in names:
        MemoryServer(bench.node(name), name, tier="ddr", pool_tier="hbm", pool_bytes=0)
    ShippedSearch(bench.node("chip"), bench.port("chip"), "hbm")
    return bench, names


async def call(bench: Bench, worker: str, content: Kind[A]) -> A:
    return await bench.port("router").call(worker, content, deadline_ns=bench.clock.now() + 10**12)


async def fill(bench: Bench, names: list[str], vectors: NDArray, *, dim: int = DIM) -> None:
    """Passage i goes to server i mod their number; the last ids first."""
    for at, name in enumerate(names):
        await call(bench, name, ShardCreate("s", dim))
        ids = np.arange(at, len(vectors), len(names))[::-1].copy()
        texts, files = (tuple(f"{what} {i}" for i in ids) for what in ("passage", "file"))
        if len(ids):
            await call(bench, name, ShardAdd("s", ids, texts, files, vectors[ids], True))


async def near(bench: Bench, names: list[str], search: Search) -> Found:
    told = [(await call(bench, name, search)).hits for name in names]
    return [merge(parts, search.top_k) for parts in zip(*told, strict=True)]


async def shipped(bench: Bench, names: list[str], search: Search) -> Found:
    of = search
    content = SearchShipped(of.store, of.top_k, of.queries, tuple(names), of.first, of.stop)
    return [list(hits) for hits in (await call(bench, "chip", content)).hits]


def run(num_servers: int, job: Callable[[Bench, list[str]], Awaitable[None]]) -> Bench:
    bench, names = stand(num_servers)
    bench.run(lambda _: job(bench, names))
    return bench


@settings(max_examples=40)
@given(
    st.integers(0, 2**30), st.integers(1, 3), st.integers(0, 25), st.integers(1, 20), st.booleans()
)
def test_hits_are_those_of_a_search_near_memory(
    seed: int, num_servers: int, num: int, top_k: int, is_narrow: bool
) -> None:
    """Small whole numbers: scores are often equal. 17 queries are more than one call of a scan."""
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-2, 3, (num, DIM)).astype(np.float32)
    queries = rng.integers(-2, 3, (17, DIM)).astype(np.float32)
    first, stop = (np.array([2, 9]), np.array([6, 17])) if is_narrow else (NO_IDS, NO_IDS)

    async def job(bench: Bench, names: list[str]) -> None:
        await fill(bench, names, vectors)
        search = Search("s", top_k, queries, first, stop)
        assert await shipped(bench, names, search) == await near(bench, names, search)

    run(num_servers, job)


def test_scores_of_any_vectors_are_the_same_bits() -> None:
    rng = np.random.default_rng(3)
    vectors, queries = (rng.normal(size=(n, DIM)).astype(np.float32) for n in (50, 5))

    async def job(bench: Bench, names: list[str]) -> None:
        await fill(bench, names, vectors)
        search = Search("s", 50, queries)
        there, here = await near(bench, names, search), await shipped(bench, names, search)
        assert here == there
        assert {hit.passage_id for hit in here[0]} == set(range(50))

    run(2, job)


def test_tiers_links_and_the_chip_pay_and_no_engine_of_a_server() -> None:
    """Two servers with six vectors of 16 bytes each: two pieces of 48 bytes from each."""
    vectors, queries = np.ones((12, DIM), np.float32), np.ones((2, DIM), np.float32)

    async def job(bench: Bench, names: list[str]) -> None:
        await fill(bench, names, vectors)

        def busy(worker: str, resource: str) -> int:
            return bench.node(worker).hardware.resources[resource].busy_ns(bench.clock.now())

        await shipped(bench, names, Search("s", 1, queries))
        assert busy("chip", "compute.fp32") == 2 * 2 * 12 * DIM
        assert busy("chip", "hbm.write") == busy("chip", "hbm.read") == 12 * 16
        # "passage 0" alone is read as it is.
        assert [busy(name, "ddr.read") for name in names] == [6 * 16 + 9, 6 * 16]
        assert [busy(name, "compute.fp32") for name in names] == [0, 0]
        await near(bench, names, Search("s", 1, queries))
        assert [busy(name, "compute.fp32") for name in names] == [2 * 2 * 6 * DIM] * 2
        assert busy("chip", "compute.fp32") == 2 * 2 * 12 * DIM

    run(2, job)


def test_what_went_while_it_was_shipped_is_no_gap() -> None:
    """Passages 3 to 8, two whole pieces and a part of one, go when the first piece is there."""
    vectors = np.arange(12 * DIM, dtype=np.float32).reshape(12, DIM)

    async def job(bench: Bench, names: list[str]) -> None:
        await fill(bench, names, vectors)
        pieces: list[list[int]] = []
        port: Any = bench.port("chip")
        asked = port.post

        async def post(destination: str, content: Any, **how: Any) -> Any:
            if len(pieces) == 1:
                await call(bench, names[0], ShardTakeBack("s", 3, 6))
            pieces.append([getattr(content, "first_id", -1)])
            return await asked(destination, content, **how)

        port.post = post
        ShippedSearch(bench.node("chip"), port, "hbm")
        found = await shipped(bench, names, Search("s", 12, vectors[:1]))
        assert sorted(hit.passage_id for hit in found[0]) == [0, 1, 2, 9, 10, 11]
        assert pieces == [[0], [3], [-1]]

    bench, names = stand(1)
    bench.node("chip").endpoint.incoming._handlers.clear()
    bench.run(lambda _: job(bench, names))


def test_what_is_asked_wrongly_is_refused() -> None:
    async def job(bench: Bench, names: list[str]) -> None:
        await fill(bench, names, np.ones((5, DIM), np.float32))
        with pytest.raises(NotFound, match="no vector store 'other'"):
            await shipped(bench, names, Search("other", 1, np.ones((1, DIM), np.float32)))
        with pytest.raises(InvalidRequest, match=r"queries have shape \(1, 3\)"):
            await shipped(bench, names, Search("s", 1, np.ones((1, 3), np.float32)))
        with pytest.raises(InvalidRequest, match="top_k is 0"):
            await shipped(bench, names, Search("s", 0, np.ones((1, DIM), np.float32)))
        assert bench.node("chip").endpoint.outgoing.in_flight() == 0, "no call is left open"

    run(2, job)


def test_a_server_that_dies_ends_the_search() -> None:
    async def job(bench: Bench, names: list[str]) -> None:
        await fill(bench, names, np.ones((5, DIM), np.float32))
        await bench.kill("memory-1")
        with pytest.raises(PeerDead):
            await shipped(bench, names, Search("s", 1, np.ones((1, DIM), np.float32)))
        assert bench.node("chip").endpoint.outgoing.in_flight() == 0

    run(2, job)


def test_a_piece_has_a_vector_at_least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipping, "PIECE_BYTES_MAX", 1)
    assert Vectors.kind == "vectors"

    async def job(bench: Bench, names: list[str]) -> None:
        await fill(bench, names, np.ones((5, DIM), np.float32))
        search = Search("s", 5, np.ones((1, DIM), np.float32))
        assert await shipped(bench, names, search) == await near(bench, names, search)

    run(1, job)
