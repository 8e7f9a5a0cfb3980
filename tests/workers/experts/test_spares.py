"""Shards that stand by: who is asked, by hand when, and the bits of the shard itself."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from tests.workers.bench import SECOND_NS, Bench
from tests.workers.experts.toy import HIDDEN, NUM_EXPERTS, Side, cluster, serve, table, tokens
from tests.workers.wire.calls import assert_idle
from workers.errors import PeerDead
from workers.experts.expert_shard import ExpertShard
from workers.experts.stand_ins import StandIns
from workers.wire.membership import Membership

OWNER = [0, 1] * 4
SPARES = {"shard-0": ("shard-2",), "shard-1": ("shard-2",)}


def stand(bench: Bench, spares: Mapping[str, Sequence[str]] = SPARES) -> Side:
    """A chip whose table knows shards 0 and 1; shard 2 holds all experts, and stands by."""
    for index, held in enumerate((range(0, 8, 2), range(1, 8, 2), range(NUM_EXPERTS))):
        model = bench.nodes[f"shard-{index}"].worker._experts  # type: ignore[attr-defined]
        model.expert_ids = tuple(held)
    serve(bench)
    one = Side(bench, OWNER, "other")
    node = bench.node("chip")
    one.exchange = node.dispatch_side("chip", None, StandIns(node.members, spares))
    one.table = table(OWNER)
    return one


def placed() -> Bench:
    return cluster([*OWNER[:-1], 2], ("chip", "other"))[0]


def test_shards_take_living_spares_in_turns() -> None:
    members = Membership({name: name for name in ("a", "b", "c", "x", "y")})
    stand_ins = StandIns(members, dict.fromkeys(("a", "b", "c"), ("x", "y")))
    assert [stand_ins.of(name) for name in ("a", "z")] == ["a", "z"], "nobody lives: itself"
    bench = Bench("a", "b", "c", "x", "y")

    async def job(bench: Bench) -> None:
        known = StandIns(bench.node("a").members, dict.fromkeys(("b", "c", "a"), ("x", "y")))
        assert [known.of(n) for n in ("a", "b", "c")] == ["a", "b", "c"]
        asked = known.num_asked
        assert asked == 0
        await bench.kill("b")
        await bench.kill("c")
        assert [known.of(n) for n in ("a", "b", "c")] == ["a", "x", "y"]
        await bench.kill("x")
        assert [known.of(n) for n in ("b", "c")] == ["y", "y"]
        await bench.kill("y")
        assert [known.of(n) for n in ("b", "c")] == ["b", "c"]

    bench.run(job)


def test_a_spare_answers_for_a_shard_that_dies_with_what_it_was_asked() -> None:
    """A byte a ns and 1 us each way: killed at 500 us, its dispatch goes again at once, and takes
    what any takes: the dispatch's bytes, the weights of the experts asked for at 1,000 bytes each,
    and the sums' bytes. The bits are those of the shard.
    """
    batch = tokens(3, 10, 2)
    asked = [e for e in np.unique(batch.experts_TK).tolist() if e % 2]
    rows = int((batch.experts_TK % 2 == 1).any(axis=1).sum())
    there_ns = 1_000 + 64 + 4 + rows * (12 + 8 * 2 + 4 * HIDDEN)
    back_ns = 1_000 + 64 + rows * 4 * HIDDEN

    async def job(bench: Bench) -> None:
        one = stand(bench)
        direct = Side(bench, OWNER, "other")
        handle = await direct.dispatch_send(batch, SECOND_NS)
        right = await direct.combine_receive(handle)
        bench.nodes["shard-1"].endpoint.close()  # it hears nothing more, and says nothing
        handle = await one.dispatch_send(batch, SECOND_NS)
        await bench.clock.wait_until(500_000)
        await bench.kill("shard-1")
        found = await one.combine_receive(handle)
        assert np.array_equal(found, right)
        took_ns = bench.clock.now() - 500_000
        assert abs(took_ns - (there_ns + 1_000 * len(asked) + back_ns)) <= 2
        assert one.exchange.figures == {"spares_asked": 1}
        again = await one.combine_receive(await one.dispatch_send(batch, SECOND_NS))
        assert np.array_equal(again, right) and one.exchange.figures == {"spares_asked": 2}
        assert_idle(bench)

    placed().run(job)


def test_without_a_living_spare_tokens_are_missed_as_ever() -> None:
    async def job(bench: Bench) -> None:
        one, batch = stand(bench), tokens(3, 10, 2)
        await bench.kill("shard-2")
        handle = await one.dispatch_send(batch, SECOND_NS)
        await bench.kill("shard-1")
        (missing,) = (await one.combine(handle)).missing
        assert missing.shard == "shard-1" and isinstance(missing.error, PeerDead)
        assert_idle(bench)

    placed().run(job)


@pytest.mark.parametrize("spares", [SPARES, {}], ids=["spare", "nobody else"])
def test_a_shard_that_restarts_in_the_instant_in_which_it_dies_fails_no_step(
    spares: Mapping[str, Sequence[str]],
) -> None:
    """When its chip is told of the death it lives again: it is asked, as the one that it is now."""
    batch = tokens(3, 10, 2)

    async def job(bench: Bench) -> None:
        one = stand(bench, spares)
        right = await one.combine_receive(await one.dispatch_send(batch, SECOND_NS))
        model = bench.nodes["shard-1"].worker._experts  # type: ignore[attr-defined]
        bench.nodes["shard-1"].endpoint.close()
        handle = await one.dispatch_send(batch, SECOND_NS)
        node = await bench.restart("shard-1")
        node.spawn(ExpertShard(node, "shard-1", model).serve(), "shard-1")
        found = await one.combine_receive(handle)
        assert np.array_equal(found, right)
        assert_idle(bench)

    placed().run(job)
