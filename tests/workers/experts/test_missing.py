"""Shards that do not answer: their tokens are named, and all others have their sums."""

import numpy as np
import pytest

from tests.workers.bench import SECOND_NS, Bench
from tests.workers.experts.toy import (
    cluster,
    dense,
    serve,
    side,
    tokens,
)
from tests.workers.wire.calls import Each, assert_idle
from workers.errors import DeadlineExceeded, PeerDead
from workers.experts.tokens import Combined, Tokens
from workers.wire.rules import Drop, Pass


def assert_lacks(combined: Combined, batch: Tokens, owner: list[int], shard: int) -> None:
    """Rows with an expert on `shard` are named, with it; all others have every bit."""
    wants = (np.array(owner)[batch.experts_TK] == shard).any(axis=1)
    assert 0 < wants.sum() < len(wants), "the case shows nothing"
    (missing,) = combined.missing
    assert missing.shard == f"shard-{shard}"
    assert missing.rows.tolist() == np.flatnonzero(wants).tolist()
    np.testing.assert_allclose(combined.sums_TH[~wants], dense(batch)[~wants], rtol=1e-12)


def test_a_dead_shard_is_missed_by_its_own_tokens_and_leaves_no_call_open() -> None:
    """It dies between dispatch and combine; then it is known to be dead before the dispatch."""
    owner, batch = [0, 1, 2, 3] * 2, tokens(1, 12, 2)

    async def job(bench: Bench) -> None:
        serve(bench, but="shard-2")
        exchange = side(bench, owner)
        handle = await exchange.dispatch_send(batch, SECOND_NS)
        await bench.kill("shard-2")
        assert_lacks(await exchange.combine(handle), batch, owner, 2)
        assert bench.nodes["chip"].endpoint.outgoing.in_flight() == 0
        combined = await exchange.combine(await exchange.dispatch_send(batch, SECOND_NS))
        assert_lacks(combined, batch, owner, 2)
        assert isinstance(combined.missing[0].error, PeerDead)
        assert bench.nodes["chip"].endpoint.outgoing.in_flight() == 0

    bench, _ = cluster(owner)
    bench.run(job)


def test_a_silent_shard_costs_its_timeout_and_one_that_is_lost_costs_nothing() -> None:
    owner, batch, timeout_ns = [0, 1, 2, 3] * 2, tokens(1, 12, 2), 10**7

    async def job(bench: Bench) -> None:
        serve(bench)
        bench.nodes["chip"].endpoint.rules["cut"] = Each(
            lambda n, m: Drop() if m.destination == "shard-1" else Pass()
        )
        exchange = side(bench, owner)
        begun_ns = bench.clock.now()
        combined = await exchange.combine(await exchange.dispatch_send(batch, timeout_ns))
        assert_lacks(combined, batch, owner, 1)
        assert isinstance(combined.missing[0].error, DeadlineExceeded)
        assert bench.clock.now() - begun_ns == timeout_ns
        lost = {one.shard: one.error for one in combined.missing}
        handle = await exchange.exchange.dispatch_send(batch, exchange.table, timeout_ns, lost)
        again = await exchange.combine(handle)
        assert_lacks(again, batch, owner, 1)
        assert again.missing[0].error is lost["shard-1"]
        assert bench.clock.now() - begun_ns < timeout_ns + 50_000
        assert_idle(bench)

    cluster(owner)[0].run(job)


def test_a_shard_that_refuses_is_missed_with_its_own_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    owner, batch = [0, 1] * 4, tokens(3, 12, 1)

    async def job(bench: Bench) -> None:
        serve(bench)
        exchange = side(bench, owner)
        combined = await exchange.combine(await exchange.dispatch_send(batch, SECOND_NS))
        assert_lacks(combined, batch, owner, 1)
        assert "ZeroDivisionError" in str(combined.missing[0].error)
        assert_idle(bench)

    bench, models = cluster(owner)
    monkeypatch.setattr(models["shard-1"], "forward", lambda *_: 1 // 0)
    bench.run(job, failures_expected=True)
    assert len(bench.failures) == 1
