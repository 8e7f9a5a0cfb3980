"""Tokens that cross memory which chips and shards share: the same sums as messages bring, and what
must go as messages goes so.
"""

import asyncio
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from configs.precision import WireKind
from tests.workers.bench import Bench
from tests.workers.experts.nearby import (
    CAPACITY,
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
from tests.workers.experts.toy import dense, serve, table, tokens
from tests.workers.wire.transport.wires import NEEDS_SHM
from workers.experts.answers import Answers
from workers.experts.exchange import Away, DispatchHandle, DispatchSide
from workers.experts.patience import ENDLESS
from workers.experts.stand_ins import StandIns

pytestmark = NEEDS_SHM


@pytest.mark.parametrize("num_tokens", [1, 7, CAPACITY])
@pytest.mark.parametrize("rows", [None, "fp32", "bf16", "int8"])
def test_sums_are_those_of_messages_to_the_bit_and_no_message_is_sent(
    num_tokens: int, rows: WireKind | None
) -> None:
    batch = tokens(1, num_tokens, TOP_K, layer=3)

    async def job(bench: Bench, _: Any) -> tuple[NDArray, NDArray]:
        serve(bench)
        exchange = side(bench)
        sums = whole(await exchange.combine_receive(await near(exchange, batch)))
        assert bench.nodes["chip"].endpoint.outgoing.next_id() == 1, "a message was sent"
        assert ranks_of(bench).num_open == 0
        node = bench.nodes["chip"]
        stand_ins = StandIns(node.members)
        port = bench.port("chip")
        answers = Answers(port, bench.clock, node.spawn, stand_ins, ENDLESS)
        ordinary = DispatchSide(port, bench.clock, node.numerics, stand_ins, answers)
        return sums, await by_messages(ordinary, batch)

    sums, of_messages = run(job, rows=rows)
    assert sums.dtype == of_messages.dtype == np.float64
    np.testing.assert_array_equal(sums, of_messages)
    rounded = {None: 1e-12, "fp32": 2e-2, "bf16": 3e-2, "int8": 5e-2}[rows]
    np.testing.assert_allclose(sums, dense(batch), atol=rounded * np.abs(dense(batch)).max())


def test_tokens_for_nobody_cost_nothing_and_sum_to_zero() -> None:
    batch = tokens(1, 3, TOP_K)
    batch.experts_TK[:] = -1

    async def job(bench: Bench, models: dict[str, Any]) -> NDArray:
        serve(bench)
        exchange = side(bench)
        sums = whole(await exchange.combine_receive(await near(exchange, batch)))
        assert not any(model.works for model in models.values())
        return sums

    assert not run(job).any()


def test_two_micro_batches_are_away_at_once_and_a_third_goes_as_messages() -> None:
    batches = [tokens(n, 5, TOP_K, layer=n) for n in range(3)]

    async def job(bench: Bench, _: Any) -> list[NDArray]:
        exchange = side(bench)
        away: list[Away] = [await near(exchange, batch) for batch in batches[:2]]
        third = await exchange.dispatch_send(batches[2], table(OWNER), LONG_NS)
        assert isinstance(third, DispatchHandle)
        serve(bench)
        away.append(third)
        return [whole(await exchange.combine_receive(each)) for each in away]

    for sums, batch in zip(run(job), batches, strict=True):
        np.testing.assert_allclose(sums, dense(batch), rtol=1e-12)


def test_many_steps_of_two_chips_at_once_all_have_their_own_sums() -> None:
    """Whoever rings may have sent what is taken by then: a shard that slept through the next ring
    would never be woken.
    """
    chips = ("chip", "chip-1")

    async def job(bench: Bench, _: Any) -> None:
        serve(bench)

        async def steps(chip: str, first: int) -> None:
            exchange = side(bench, chip)
            for number in range(150):
                batch = tokens(first + number, 1 + number % 5, TOP_K, layer=number % 3)
                sums = whole(await exchange.combine_receive(await near(exchange, batch)))
                np.testing.assert_allclose(sums, dense(batch), rtol=1e-12)
                if number % 7 == 0:
                    await asyncio.sleep(0.001)

        await asyncio.gather(*(steps(chip, 1000 * n) for n, chip in enumerate(chips)))
        assert all(ranks_of(bench, name).num_open == 0 for name in chips)

    run(job, chips)


def test_a_shard_that_is_rung_for_nothing_is_rung_again() -> None:
    """A rank that ends rings all others."""
    batch = tokens(1, 8, TOP_K)

    async def job(bench: Bench, _: Any) -> NDArray:
        serve(bench)
        await asyncio.sleep(0.01)
        await bench.kill("chip-1")
        await asyncio.sleep(0.01)
        exchange = side(bench)
        return whole(await exchange.combine_receive(await near(exchange, batch)))

    np.testing.assert_allclose(run(job, ("chip", "chip-1")), dense(batch), rtol=1e-12)


def test_what_has_no_room_in_an_arena_or_must_meet_faults_goes_as_messages() -> None:
    long, short = tokens(1, CAPACITY + 1, TOP_K), tokens(2, 4, TOP_K)

    async def job(bench: Bench, _: Any) -> None:
        serve(bench)
        exchange = side(bench)
        np.testing.assert_allclose(await by_messages(exchange, long), dense(long), rtol=1e-12)
        bench.nodes["chip"].endpoint.has_faults = True
        np.testing.assert_allclose(await by_messages(exchange, short), dense(short), rtol=1e-12)
        bench.nodes["chip"].endpoint.has_faults = False
        whole(await exchange.combine_receive(await near(exchange, short)))

    run(job)


def test_ranks_in_another_order_than_sums_merge_go_as_messages() -> None:
    batch = tokens(1, 6, TOP_K)

    async def job(bench: Bench, _: Any) -> NDArray:
        serve(bench)
        exchange = side(bench)
        shards = tuple(f"shard-{i}" for i in (1, 0, 2, 3))
        held = {e: f"shard-{s}" for e, s in enumerate(OWNER)}
        other = type(table(OWNER)).of(held, shards, 1)
        handle = await exchange.dispatch_send(batch, other, LONG_NS)
        assert isinstance(handle, DispatchHandle)
        return whole(await exchange.combine_receive(handle))

    np.testing.assert_allclose(run(job), dense(batch), rtol=1e-12)
