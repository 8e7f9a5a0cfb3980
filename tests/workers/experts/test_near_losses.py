"""Shards and chips that die, are silent, or write nonsense, where tokens cross shared memory: as
with messages, whoever is missing is missed by its own tokens alone.
"""

import asyncio
import struct
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.kernels.all_to_all.ranks import memory_of
from tests.workers.bench import SECOND_NS, Bench
from tests.workers.experts.nearby import (
    LONG_NS,
    OWNER,
    TOP_K,
    by_messages,
    near,
    ranks_of,
    run,
    side,
    whole,
)
from tests.workers.experts.test_missing import assert_lacks
from tests.workers.experts.toy import HIDDEN, dense, serve, table, tokens
from tests.workers.wire.transport.wires import NEEDS_SHM
from workers.errors import DeadlineExceeded, PeerDead, PerfuseError
from workers.experts.exchange import DispatchHandle
from workers.experts.expert_shard import ExpertShard
from workers.experts.near import NearHandle
from workers.experts.routing import RoutingTable

pytestmark = NEEDS_SHM


def test_a_shard_that_dies_is_missed_by_its_own_tokens_and_its_next_incarnation_is_near() -> None:
    batch = tokens(1, 12, TOP_K)

    async def job(bench: Bench, models: dict[str, Any]) -> NDArray:
        serve(bench, but="shard-2")
        exchange = side(bench)
        handle = await near(exchange, batch)
        waiting = asyncio.ensure_future(exchange.combine_receive(handle))
        await asyncio.sleep(0.01)
        await bench.kill("shard-2")
        combined = await waiting
        assert_lacks(combined, batch, OWNER, 2)
        assert isinstance(combined.missing[0].error, PeerDead)
        assert combined.missing[0].error.facts == {"node": "shard-2"}
        again = await exchange.dispatch_send(batch, table(OWNER), LONG_NS)
        assert isinstance(again, DispatchHandle), "one of its shards cannot be sent to"
        assert_lacks(await exchange.combine_receive(again), batch, OWNER, 2)
        assert ranks_of(bench).num_open == 0
        node = await bench.restart("shard-2")
        node.spawn(ExpertShard(node, "shard-2", models["shard-2"]).serve(), "shard-2")
        return whole(await exchange.combine_receive(await near(exchange, batch)))

    np.testing.assert_allclose(run(job), dense(batch), rtol=1e-12)


def test_a_chip_s_next_incarnation_is_answered_and_its_last_one_holds_nothing() -> None:
    batch = tokens(1, 12, TOP_K)

    async def job(bench: Bench, _: Any) -> NDArray:
        await near(side(bench), batch)
        await bench.restart("chip")
        serve(bench)
        exchange = side(bench)
        return whole(await exchange.combine_receive(await near(exchange, batch)))

    np.testing.assert_allclose(run(job), dense(batch), rtol=1e-12)


def test_a_chip_s_next_incarnation_leaves_the_experts_that_its_last_one_asked_for() -> None:
    """A kernel that counts tokens by expert may be at them."""
    first, second = tokens(1, 12, TOP_K), tokens(2, 12, TOP_K)

    async def job(bench: Bench, _: Any) -> None:
        taken = []
        shard = bench.nodes["shard-1"].worker._exchange  # type: ignore[attr-defined]
        for batch in (first, second):
            await near(side(bench), batch)
            taken += await shard.dispatch_receive()
            await bench.restart("chip")
        for batch, one in zip((first, second), taken, strict=True):
            here = np.array(OWNER)[batch.experts_TK] == 1
            asked = np.where(here, batch.experts_TK, -1)[here.any(axis=1)]
            np.testing.assert_array_equal(one.content.experts, asked)

    run(job)


def test_a_silent_shard_costs_its_timeout_and_what_it_answers_late_is_nobody_s() -> None:
    batch, after = tokens(1, 12, TOP_K), tokens(2, 12, TOP_K, layer=1)

    async def job(bench: Bench, _: Any) -> list[NDArray]:
        serve(bench, but="shard-1")
        exchange = side(bench)
        begun_ns = bench.clock.now()
        combined = await exchange.combine_receive(await near(exchange, batch, SECOND_NS // 20))
        assert bench.clock.now() - begun_ns >= SECOND_NS // 20
        assert_lacks(combined, batch, OWNER, 1)
        assert isinstance(combined.missing[0].error, DeadlineExceeded)
        node = bench.nodes["shard-1"]
        node.spawn(node.worker.serve(), "shard-1")  # type: ignore[attr-defined]
        return [
            whole(await exchange.combine_receive(handle))
            for _ in range(3)
            for handle in (await exchange.dispatch_send(after, table(OWNER), LONG_NS),)
        ]

    for sums in run(job):
        np.testing.assert_allclose(sums, dense(after), rtol=1e-12)


def test_whoever_was_late_once_is_not_missed_by_tokens_that_do_not_want_it() -> None:
    """Of a shard that has gone the next table may say nothing at all."""
    batch, after = tokens(1, 12, TOP_K), tokens(2, 6, TOP_K)
    after = replace(after, experts_TK=np.array([[0, 2]] * 6, np.int32))  # on shards 0 and 2
    others = {0: "shard-0", 1: "shard-0", 2: "shard-2", 3: "shard-3"}
    without = RoutingTable.of(
        {expert: others[shard] for expert, shard in enumerate(OWNER)},
        ("shard-0", "shard-2", "shard-3"),
    )

    async def job(bench: Bench, _: Any) -> list[NDArray]:
        serve(bench, but="shard-1")
        exchange = side(bench)
        combined = await exchange.combine_receive(await near(exchange, batch, SECOND_NS // 20))
        assert_lacks(combined, batch, OWNER, 1)
        sums = [whole(await exchange.combine_receive(await near(exchange, after)))]
        handle = await exchange.dispatch_send(after, without, LONG_NS)
        assert isinstance(handle, NearHandle)
        return [*sums, whole(await exchange.combine_receive(handle))]

    for sums in run(job):
        np.testing.assert_allclose(sums, dense(after), rtol=1e-12)


def test_a_deadline_that_is_sooner_than_an_earlier_wait_s_is_kept() -> None:
    """The first wait ends long before its own, and leaves its timer."""
    batch = tokens(1, 12, TOP_K)

    async def job(bench: Bench, _: Any) -> None:
        serve(bench, but="shard-1")
        exchange = side(bench)
        waiting = asyncio.ensure_future(exchange.combine_receive(await near(exchange, batch)))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        combined = await exchange.combine_receive(await near(exchange, batch, SECOND_NS // 20))
        assert_lacks(combined, batch, OWNER, 1)
        assert bench.clock.now() < LONG_NS, "the first one's timer rang"

    run(job)


def test_a_shard_s_bug_is_told_to_whoever_waits_and_ends_nothing_else() -> None:
    batch = tokens(1, 12, TOP_K)

    async def job(bench: Bench, models: dict[str, Any]) -> None:
        serve(bench)
        exchange, model = side(bench), models["shard-3"]
        right = model.forward
        model.forward = lambda *_: 1 / 0
        combined = await exchange.combine_receive(await near(exchange, batch))
        assert_lacks(combined, batch, OWNER, 3)
        assert isinstance(combined.missing[0].error, PerfuseError)
        assert [name for name, _ in bench.failures] == ["shard-3/shard-3 batch"]
        model.forward = right
        whole(await exchange.combine_receive(await near(exchange, batch)))

    run(job)


def test_a_dispatch_that_is_abandoned_leaves_room_for_the_next_ones() -> None:
    batch = tokens(1, 6, TOP_K)

    async def job(bench: Bench, _: Any) -> NDArray:
        exchange = side(bench)
        for _ in range(2):
            given_up = await near(exchange, batch)
            given_up.abandon()
            given_up.abandon()  # twice is once
        waiting = asyncio.ensure_future(
            exchange.combine_receive(await exchange.dispatch_send(batch, table(OWNER), LONG_NS))
        )
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert ranks_of(bench).num_open == 0
        serve(bench)
        for _ in range(5):
            handle = await exchange.dispatch_send(batch, table(OWNER), LONG_NS)
            sums = whole(await exchange.combine_receive(handle))
        assert isinstance(handle, NearHandle)
        return sums

    np.testing.assert_allclose(run(job), dense(batch), rtol=1e-12)


def test_a_shard_that_writes_nonsense_is_sent_messages_from_then_on() -> None:
    """It answers, and then says of its answer that it has 999 rows."""
    batch = tokens(1, 12, TOP_K)

    async def job(bench: Bench, _: Any) -> NDArray:
        serve(bench, but="shard-1")
        exchange, rank = side(bench), ranks_of(bench, "shard-1")
        handle = await near(exchange, batch)
        for arrived in rank.take():
            rank.answer(arrived, np.zeros((arrived.num_tokens, HIDDEN)))
        with memory_of(ranks_of(bench)._ranks) as arena:
            layout = ranks_of(bench)._ranks.geometry.layout()
            shard = 1 + 1  # ranks of round 1: the chip, shard-0, shard-1
            control = layout.answers_begin + (1 * 5 + shard) * layout.answer
            assert struct.unpack_from("<I", arena, control + 8) == (arrived.num_tokens,)
            struct.pack_into("<I", arena, control + 8, 999)
        combined = await exchange.combine_receive(handle)
        assert_lacks(combined, batch, OWNER, 1)
        assert [name for name, _ in bench.failures] == ["chip/rank of shard-1"]
        node = bench.nodes["shard-1"]
        node.spawn(node.worker.serve(), "shard-1")  # type: ignore[attr-defined]
        return await by_messages(exchange, batch)

    np.testing.assert_allclose(run(job), dense(batch), rtol=1e-12)


@pytest.mark.parametrize("error", [MemoryError("no memory"), OSError("no descriptor")])
def test_without_memory_for_an_arena_tokens_go_as_messages(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def create(*_: Any) -> Any:
        raise error

    monkeypatch.setattr("kernels.all_to_all.member.arena.create", create)
    batch = tokens(1, 12, TOP_K)

    async def job(bench: Bench, _: Any) -> NDArray:
        serve(bench)
        assert all(node.ranks is None for node in bench.nodes.values())
        return await by_messages(side(bench), batch)

    np.testing.assert_allclose(run(job), dense(batch), rtol=1e-12)
