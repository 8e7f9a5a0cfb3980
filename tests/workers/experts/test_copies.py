"""Experts with several copies: who is asked, and that nobody can tell from the sums."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.bench import SECOND_NS, Bench
from tests.workers.experts.toy import (
    NUM_EXPERTS,
    cluster,
    dense,
    serve,
    side,
    tokens,
)
from tests.workers.wire.calls import assert_idle
from workers.experts.copies import Copies
from workers.experts.routing import NOBODY, RoutingTable

SHARDS = ("shard-0", "shard-1", "shard-2")
HOLDERS = st.lists(
    st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True),
    min_size=NUM_EXPERTS,
    max_size=NUM_EXPERTS,
)


def table_of(holders: list[list[int]], weights: dict[tuple[int, str], float]) -> RoutingTable:
    placed = {e: tuple(SHARDS[s] for s in held) for e, held in enumerate(holders)}
    return RoutingTable.of(placed, SHARDS, weights=weights)


@settings(max_examples=30)
@given(HOLDERS, st.integers(0, 2**20), st.integers(1, 7), st.integers(1, 4))
def test_any_copies_equal_the_dense_reference(
    holders: list[list[int]], seed: int, num_tokens: int, top_k: int
) -> None:
    batch = tokens(seed, num_tokens, top_k)

    async def job(bench: Bench) -> None:
        serve(bench)
        exchange = side(bench, [0, 1, 2] * 2 + [0, 1])
        exchange.table = table_of(holders, {})
        sums = await exchange.combine_receive(await exchange.dispatch_send(batch, SECOND_NS))
        np.testing.assert_allclose(sums, dense(batch), rtol=1e-12, atol=1e-12)
        assert_idle(bench)

    bench, models = cluster([0, 1, 2] * 2 + [0, 1])
    for index, name in enumerate(SHARDS):
        models[name].expert_ids = tuple(e for e, held in enumerate(holders) if index in held)
    bench.run(job)


def test_a_token_asks_the_same_copies_in_every_batch() -> None:
    copies = Copies.of([[0, 1, 2]] * 4, {})
    rng = np.random.default_rng(0)
    requests = rng.integers(0, 2**63, 50).astype(np.uint64)
    positions = rng.integers(0, 10**6, 50)
    experts = rng.integers(0, 4, (50, 2)).astype(np.int32)
    slots = copies.slots(requests, positions, experts)
    order = rng.permutation(50)
    again = copies.slots(requests[order], positions[order], experts[order])
    assert np.array_equal(again, slots[order])
    assert np.array_equal(copies.experts_P[slots], experts)
    assert np.array_equal(copies.slots(requests[7:8], positions[7:8], experts[7:8]), slots[7:8])


@pytest.mark.parametrize(
    ("weights", "shares"),
    [({}, [1 / 3] * 3), ({(0, 1): 2.0}, [0.25, 0.5, 0.25]), ({(0, 2): 0.0}, [0.5, 0.5, 0])],
)
def test_copies_share_tokens_by_their_weights(
    weights: dict[tuple[int, int], float], shares: list[float]
) -> None:
    """Of 30,000 tokens of 30 requests within 1 %: three standard deviations are 0.9 %."""
    copies = Copies.of([[0, 1, 2], [1]], weights)
    requests = np.repeat(np.arange(30, dtype=np.uint64), 1_000)
    positions = np.tile(np.arange(1_000), 30)
    slots = copies.slots(requests, positions, np.zeros((30_000, 1), np.int32))
    counted = np.bincount(copies.owners_P[slots[:, 0]], minlength=3) / 30_000
    assert np.abs(counted - shares).max() < 0.01
    only = copies.slots(requests, positions, np.ones((30_000, 1), np.int32))
    assert np.unique(copies.owners_P[only]).tolist() == [1]


def test_an_expert_that_is_nobody_has_no_copy() -> None:
    copies = Copies.of([[0, 1], [1]], {})
    none = np.array([[NOBODY, 1]], dtype=np.int32)
    slots = copies.slots(np.zeros(1, np.uint64), np.zeros(1, np.int64), none)
    assert slots.tolist() == [[NOBODY, 2]] and copies.owners_P[slots].tolist() == [[NOBODY, 1]]
    with pytest.raises(ValueError, match="names expert 2; there are 2"):
        copies.slots(np.zeros(1, np.uint64), np.zeros(1, np.int64), none + 1)


def test_a_table_of_copies_is_checked() -> None:
    made = RoutingTable.of({0: ("a", "b"), 1: "b"}, ("a", "b"))
    assert made.copies is not None and made.owners_E.tolist() == [0, 1, NOBODY]
    asked = np.array([1, 0], dtype=np.int32)
    assert [made.held_by(shard, asked).tolist() for shard in (0, 1)] == [[0], [1, 0]]
    assert RoutingTable.of({0: ("a",), 1: "b"}, ("a", "b")).copies is None
    with pytest.raises(ValueError, match=r"expert 0 is on \['a', 'a'\]"):
        RoutingTable.of({0: ("a", "a")}, ("a", "b"))
    with pytest.raises(ValueError, match="expert 0 is on"):
        RoutingTable.of({0: ()}, ("a",))
    with pytest.raises(ValueError, match="one above 0"):
        RoutingTable.of({0: ("a", "b")}, ("a", "b"), weights={(0, "a"): 0.0, (0, "b"): 0.0})


def test_a_shard_counts_the_tokens_of_each_copy() -> None:
    batch = tokens(3, 40, 2)
    holders = [[0, 1], [1], [2], [0], [1], [2], [0], [1]]

    async def job(bench: Bench) -> dict[str, int]:
        serve(bench)
        exchange = side(bench, [0, 1, 2] * 2 + [0, 1])
        exchange.table = table_of(holders, {})
        await exchange.combine_receive(await exchange.dispatch_send(batch, SECOND_NS))
        counts: dict[str, int] = {}
        for name in SHARDS:
            counts |= bench.nodes[name].worker.counts  # type: ignore[attr-defined]
        return counts

    bench, models = cluster([0, 1, 2] * 2 + [0, 1])
    for index, name in enumerate(SHARDS):
        models[name].expert_ids = tuple(e for e, held in enumerate(holders) if index in held)
    counts = bench.run(job)
    asked = np.bincount(batch.experts_TK.reshape(-1), minlength=NUM_EXPERTS)
    of_0 = [counts.get(f"expert_tokens_shard-{s}/0", 0) for s in (0, 1)]
    assert sum(of_0) == asked[0] and all(of_0)
    assert all(
        counts.get(f"expert_tokens_shard-{holders[e][0]}/{e}", 0) == asked[e]
        for e in range(1, NUM_EXPERTS)
    )
