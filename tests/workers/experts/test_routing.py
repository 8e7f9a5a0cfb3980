"""The table that says who holds which expert, and how a dispatch follows it."""

import numpy as np
import pytest

from tests.workers.bench import SECOND_NS, Bench
from tests.workers.experts.toy import (
    NUM_EXPERTS,
    cluster,
    dense,
    serve,
    side,
    table,
    tokens,
)
from workers.experts.routing import NOBODY, RoutingTable


def test_a_new_table_counts_from_the_next_dispatch_on() -> None:
    """What is away is combined as it was sent; what is sent then goes to the new owners."""
    owner, moved = [0, 1] * 4, [1, 0] * 4
    batch = tokens(6, 9, 1)

    async def job(bench: Bench) -> None:
        serve(bench)
        exchange = side(bench, owner)
        before = await exchange.dispatch_send(batch, SECOND_NS)
        exchange.table = table(moved, version=1)
        after = await exchange.dispatch_send(batch, SECOND_NS)
        assert before.shards == after.shards == ["shard-0", "shard-1"]
        for old, new in zip(before.rows_by_shard, reversed(after.rows_by_shard), strict=True):
            assert old.tolist() == new.tolist()
        for handle in (before, after):
            sums = await exchange.combine_receive(handle)
            np.testing.assert_allclose(sums, dense(batch), rtol=1e-12)

    bench, models = cluster(owner)
    for held in models.values():
        held.expert_ids = tuple(range(NUM_EXPERTS))
    bench.run(job)


def test_an_expert_that_is_nobody_is_not_asked() -> None:
    owner, batch = [0, 1] * 4, tokens(7, 6, 2)
    batch.experts_TK[[1, 4]] = NOBODY

    async def job(bench: Bench) -> None:
        serve(bench)
        exchange = side(bench, owner)
        sums = await exchange.combine_receive(await exchange.dispatch_send(batch, SECOND_NS))
        np.testing.assert_allclose(sums, dense(batch), rtol=1e-12)
        assert not sums[[1, 4]].any() and sums[[0, 2, 3, 5]].all()
        shards = [bench.nodes[f"shard-{i}"].worker for i in (0, 1)]  # type: ignore[attr-defined]
        asked = (np.array(owner)[batch.experts_TK] == [[[0]], [[1]]]) & (batch.experts_TK >= 0)
        assert [s.num_tokens for s in shards] == asked.any(axis=2).sum(axis=1).tolist()

    cluster(owner)[0].run(job)


def test_a_table_has_every_expert_and_only_known_shards() -> None:
    made = RoutingTable.of({0: "b", 2: "a", 1: "b"}, ("a", "b"), 7)
    assert made.version == 7
    assert made.owners_E[[[2, 0], [1, NOBODY]]].tolist() == [[0, 1], [1, NOBODY]]
    with pytest.raises(ValueError, match="none may be left out"):
        RoutingTable.of({0: "a", 2: "a"}, ("a",))
    with pytest.raises(ValueError, match="'c'"):
        RoutingTable.of({0: "c"}, ("a", "b"))
    with pytest.raises(ValueError, match="read-only"):
        made.owners_E[0] = 1
