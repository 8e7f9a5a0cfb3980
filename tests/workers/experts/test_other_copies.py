"""Copies of experts on shards that are gone: which other ones their tokens ask, by hand."""

from collections.abc import Sequence

import numpy as np
import pytest

from tests.workers.bench import SECOND_NS, Bench
from tests.workers.experts.toy import NUM_EXPERTS, Side, cluster, dense, serve, tokens
from tests.workers.wire.calls import assert_idle
from workers.errors import PeerDead
from workers.experts.copies import Copies
from workers.experts.routing import RoutingTable
from workers.experts.stand_ins import StandIns

SHARDS = ("shard-0", "shard-1", "shard-2")
# Experts 0 to 3 are on shards 0 and 1, 4 to 6 on 1 and 2, and expert 7 on shard 2 alone.
HOLDERS = {e: SHARDS[:2] if e < 4 else SHARDS[1:] if e < 7 else SHARDS[2:] for e in range(8)}


def stand(bench: Bench) -> Side:
    for shard in SHARDS:
        model = bench.nodes[shard].worker._experts  # type: ignore[attr-defined]
        model.expert_ids = tuple(e for e, held in HOLDERS.items() if shard in held)
    serve(bench)
    side = Side(bench, [0, 1, 2, 0, 1, 2, 0, 1])
    side.table = RoutingTable.of(HOLDERS, SHARDS)
    return side


def placed() -> Bench:
    return cluster([0, 1, 2, 0, 1, 2, 0, 1])[0]


async def kill_each(bench: Bench, kills: Sequence[tuple[int, str]]) -> None:
    for at_ns, victim in kills:
        await bench.clock.wait_until(at_ns)
        await bench.kill(victim)


def test_what_a_dead_copy_had_the_others_share_as_they_are_weighed() -> None:
    """Copies of expert 0 have 1, 2 and 5 of 8 parts; without the last 1 and 2 of 3."""
    copies = Copies.of([[0, 1, 2], [2]], {(0, 0): 1, (0, 1): 2, (0, 2): 5})
    left = copies.without([2])
    assert left.experts_P.tolist() == [0, 0, 1, -1] and left.owners_P.tolist() == [0, 1, 2, -1]
    assert left.ends_ER[0].tolist() == [round((1 << 32) / 3)]
    assert copies.without([0, 1, 2]).owners_P.tolist() == copies.owners_P.tolist(), "nobody else"
    even = Copies.of([[0, 1, 2]], {(0, 0): 0, (0, 1): 0, (0, 2): 1}).without([2])
    assert even.ends_ER[0].tolist() == [1 << 31], "those that had nothing have halves"


def test_tokens_of_living_copies_stay_where_they_are() -> None:
    table = RoutingTable.of(HOLDERS, SHARDS)
    batch = tokens(1, 200, 2)
    asked = batch.requests_T, batch.positions_T, batch.experts_TK
    assert table.copies is not None
    before_TK = table.copies.owners_P[table.copies.slots(*asked)]
    left = table.without([0]).copies
    assert left is not None
    after_TK = left.owners_P[left.slots(*asked)]
    assert (before_TK == 0).sum() > 50
    assert np.array_equal(after_TK[before_TK != 0], before_TK[before_TK != 0])
    assert (after_TK[before_TK == 0] == 1).all(), "experts 0 to 3 are there alone"


@pytest.mark.parametrize("victims", [("shard-0",), ("shard-1",), ("shard-0", "shard-2")])
def test_what_dies_with_its_tokens_is_asked_of_other_copies_in_time(
    victims: tuple[str, ...],
) -> None:
    """They hear nothing, then die one after the other, the second with what it was asked for the
    first. Tokens of expert 7 are missed where its one shard is gone, and no others.
    """
    batch = tokens(3, 24, 3)

    async def job(bench: Bench) -> None:
        side = stand(bench)
        for victim in victims:
            bench.nodes[victim].endpoint.close()
        handle = await side.dispatch_send(batch, SECOND_NS)
        kills = zip((500_000, 700_000), victims, strict=False)
        bench.node("chip").spawn(kill_each(bench, list(kills)), "kill")
        combined = await side.combine(handle)
        assert bench.clock.now() < 900_000
        lost = (batch.experts_TK == 7).any(axis=1) & ("shard-2" in victims)
        told = np.zeros(len(lost), dtype=bool)
        for missing in combined.missing:
            assert missing.shard == "shard-2" and isinstance(missing.error, PeerDead)
            told[missing.rows] = True
        assert np.array_equal(told, lost)
        assert np.allclose(combined.sums_TH[~lost], dense(batch)[~lost], rtol=1e-5, atol=1e-6)
        assert_idle(bench)

    placed().run(job)


def test_who_is_known_to_be_gone_is_not_asked() -> None:
    """As soon as it is back it is."""
    batch = tokens(3, 24, 3)

    async def job(bench: Bench) -> None:
        side, node = stand(bench), bench.node("chip")
        stand_ins = StandIns(node.members)
        assert stand_ins.living(side.table) is stand_ins.living(side.table) is side.table
        await bench.kill("shard-0")
        living = stand_ins.living(side.table)
        assert living is stand_ins.living(side.table) is not side.table
        assert living.held_by(0, np.arange(NUM_EXPERTS, dtype=np.int32)).size == 0
        handle = await side.exchange.dispatch_send(
            batch, side.exchange.living(side.table), SECOND_NS
        )
        assert "shard-0" not in handle.shards  # type: ignore[attr-defined]
        combined = await side.combine(handle)
        assert not combined.missing
        assert np.allclose(combined.sums_TH, dense(batch), rtol=1e-5, atol=1e-6)
        assert_idle(bench)

    placed().run(job)
