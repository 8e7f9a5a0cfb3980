"""Shards that say nothing, where tokens cross shared memory: messages find out and reach others."""

from typing import Any

import numpy as np

from tests.workers.bench import Bench
from tests.workers.experts.nearby import (
    LONG_NS,
    OWNER,
    TOP_K,
    by_messages,
    near,
    ranks_of,
    run,
    whole,
)
from tests.workers.experts.test_silent import Cut, hit
from tests.workers.experts.toy import dense, serve, table, tokens
from tests.workers.wire.transport.wires import NEEDS_SHM
from workers.experts.exchange import DispatchHandle
from workers.experts.patience import Patience
from workers.experts.stand_ins import StandIns

pytestmark = NEEDS_SHM


class _Patient:
    """Shards 0 to 2, for which shard 3 stands by."""

    def __init__(self, bench: Bench, patience: Patience) -> None:
        for name in ("shard-0", "shard-1", "shard-2", "shard-3"):
            worker: Any = bench.nodes[name].worker  # type: ignore[attr-defined]
            held = range(8) if name == "shard-3" else worker._experts.expert_ids
            worker._experts.expert_ids = tuple(held)
        node = bench.node("chip")
        spares = dict.fromkeys(("shard-0", "shard-1", "shard-2"), ("shard-3",))
        stand_ins = StandIns(node.members, spares)
        self.exchange = node.dispatch_side("chip", None, stand_ins, patience)


def test_what_a_silent_shard_does_not_answer_its_spare_is_asked_by_message() -> None:
    """Half a second in vain by memory, then all of it as messages: the bits are the shard's."""
    batch = tokens(1, 12, TOP_K)

    async def job(bench: Bench, _: Any) -> None:
        serve(bench, but="shard-2")
        exchange = _Patient(bench, Patience(1_000_000_000)).exchange
        hit(bench, Cut("shard-2"))  # nor does it say that it is there
        handle = await near(exchange, batch)
        np.testing.assert_allclose(
            whole(await exchange.combine_receive(handle)), dense(batch), rtol=1e-12
        )
        assert exchange.figures["silent_asked"] == 1
        again = await exchange.dispatch_send(batch, table(OWNER), LONG_NS)
        assert isinstance(again, DispatchHandle), "while it is silent nothing goes by memory"
        np.testing.assert_allclose(
            whole(await exchange.combine_receive(again)), dense(batch), rtol=1e-12
        )
        assert ranks_of(bench).num_open == 0

    run(job)


def test_where_stragglers_are_hedged_all_goes_as_messages() -> None:
    async def job(bench: Bench, _: Any) -> None:
        serve(bench)
        exchange = _Patient(bench, Patience(None, 3.0)).exchange
        batch = tokens(1, 12, TOP_K)
        np.testing.assert_allclose(await by_messages(exchange, batch), dense(batch), rtol=1e-12)

    run(job)
