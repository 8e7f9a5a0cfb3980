"""Shards that are slower than usual: when others are asked as well, by hand."""

from typing import Any

import numpy as np

from tests.workers.bench import SECOND_NS, Bench
from tests.workers.experts.test_silent import (
    SILENCE_NS,
    Late,
    ask,
    exchange,
    heal,
    hit,
    patient,
    round_ns,
)
from tests.workers.experts.test_spares import OWNER, placed
from tests.workers.experts.toy import Side, tokens
from tests.workers.wire.calls import assert_idle
from workers.experts.patience import ANSWERS_MIN, Patience
from workers.wire.kinds.experts import Combine, Dispatch


def test_a_straggler_is_hedged_after_so_many_times_what_is_usual() -> None:
    """All answers before took the same; three times that, and what the spare takes, is all that a
    step takes while shard 1 answers a millisecond later. Without hedging it takes that.
    """
    one_sided = tokens(5, 4, 1)  # one expert a token
    one_sided.experts_TK[:] = 1

    async def job(bench: Bench) -> None:
        took_ns = round_ns(one_sided)
        hedged, plain = patient(bench, Patience(SECOND_NS, 3)), Side(bench, OWNER, "other")
        plain.exchange = exchange(bench, "other", Patience(SECOND_NS))
        right = await ask(hedged, one_sided)
        for _ in range(ANSWERS_MIN):
            await ask(hedged, one_sided)
        assert hedged.exchange.figures["hedged"] == 0
        hit(bench, Late("shard-1", 1_000_000))
        for side, wanted_ns in ((hedged, 4 * took_ns), (plain, took_ns + 1_000_000)):
            begun_ns = bench.clock.now()
            assert np.array_equal(await ask(side, one_sided), right)
            assert abs(bench.clock.now() - begun_ns - wanted_ns) <= 4
        assert hedged.exchange.figures["hedged"] == 1
        nodes: list[Any] = [bench.nodes[name] for name in ("shard-1", "shard-2")]
        counted = [node.worker.num_tokens for node in nodes]
        assert counted == [4 * (ANSWERS_MIN + 3), 4], "both are counted"
        heal(bench)
        await bench.clock.wait_until(bench.clock.now() + SECOND_NS)
        assert_idle(bench)

    placed().run(job)


def test_nothing_is_sent_for_it_while_all_answer() -> None:
    """Message by message what no patience sends."""

    def records(patience: Patience) -> list[Any]:
        async def job(bench: Bench) -> None:
            side = patient(bench, patience)
            for _ in range(30):
                await ask(side)

        bench = placed()
        bench.run(job)
        return list(bench.trace.records)

    told = records(Patience())
    assert told == records(Patience(SILENCE_NS, 3.0)) and len(told) > 100
    assert {Dispatch.kind, Combine.kind} <= {getattr(one, "kind", "") for one in told}
