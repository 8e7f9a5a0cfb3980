"""What goes wrong ends a collective with a clear error at every rank; what is lost goes again."""

from typing import Any

import numpy as np
import pytest

from configs.schema.collectives import Algorithm
from tests.workers.bench import SECOND_NS, Bench
from tests.workers.collectives.ranks import SWITCH, Ranks, join, names, shares, switch_for
from tests.workers.wire.calls import Each, assert_idle
from workers.collectives import operations
from workers.collectives.group import AHEAD_MAX
from workers.collectives.named import algorithms_for
from workers.errors import CorruptMessage, DeadlineExceeded, PeerDead, PerfuseError
from workers.model.numerics import EXACT_NUMERICS, total
from workers.wire.rules import Drop, Duplicate, Pass

ALGORITHMS = algorithms_for("all_reduce")
DEGREE = 5


async def settled(begun: list[Any]) -> list[Any]:
    """What each received, or why it did not."""
    ends: list[Any] = []
    for one in begun:
        try:
            ends.append(await one.receive())
        except PerfuseError as error:
            ends.append(error)
    return ends


@pytest.mark.parametrize("verdict", [Drop(), Duplicate(700)], ids=["lost", "twice"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_is_lost_or_doubled_changes_no_bit(algorithm: Algorithm, verdict: Any) -> None:
    """Every third message of every rank."""
    partials = shares(DEGREE, 2, 5)

    async def job(bench: Bench) -> None:
        ranks = Ranks(bench, DEGREE, switch_for("all_reduce", algorithm))
        for node in bench.nodes.values():
            rule = Each(lambda n, _: verdict if n % 3 == 0 else Pass())
            node.endpoint.rules["each"] = rule
        for _ in range(3):
            received = await ranks.ask(
                lambda group, rank: operations.all_reduce(group, algorithm, partials[rank])
            )
            expected = total(EXACT_NUMERICS, partials)
            assert all(np.array_equal(sums, expected) for sums in received)
        await bench.clock.wait_until(bench.clock.now() + SECOND_NS)
        ranks.assert_idle()
        assert_idle(bench)

    Bench(*names(DEGREE), SWITCH).run(job)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_dead_rank_ends_it_at_all_others(algorithm: Algorithm) -> None:
    """Also at those that it never talks to."""
    partials = shares(DEGREE, 2, 5)

    async def job(bench: Bench) -> None:
        ranks = Ranks(bench, DEGREE, switch_for("all_reduce", algorithm))
        groups = ranks.groups[:3] + ranks.groups[4:]
        begun = [
            await operations.all_reduce(group, algorithm, partials[group.me]) for group in groups
        ]
        await bench.kill("chip-3")
        before_ns = bench.clock.now()
        for error in await settled(begun):
            assert isinstance(error, PeerDead) and "chip-3" in error.message
        assert bench.clock.now() - before_ns < 100_000, "nobody waits for the deadline"
        with pytest.raises(PeerDead, match="chip-3 on chip-3 is gone"):
            await operations.all_reduce(groups[0], algorithm, partials[0])

    Bench(*names(DEGREE), SWITCH).run(job)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_silent_rank_ends_it_by_the_deadline(algorithm: Algorithm) -> None:
    """Rank 4 never begins: each that lacks its term says so at its deadline, and not later."""
    partials = shares(DEGREE, 2, 5)

    async def job(bench: Bench) -> None:
        switch = switch_for("all_reduce", algorithm)
        ranks = Ranks(bench, DEGREE, switch, timeout_ns=50_000_000)
        begun = [
            await operations.all_reduce(group, algorithm, partials[group.me])
            for group in ranks.groups[:4]
        ]
        for error in await settled(begun):
            assert isinstance(error, DeadlineExceeded), error
            assert "all_reduce 0 of tp: nothing came in time from member" in error.message
        assert bench.clock.now() <= 51_000_000

    Bench(*names(DEGREE), SWITCH).run(job)


def test_ranks_that_lost_each_other_begin_anew() -> None:
    """After a return they agree on a number; what is left of before is not taken for new."""
    partials = shares(3, 2, 5)

    async def job(bench: Bench) -> None:
        ranks = Ranks(bench, 3, None)
        begun = [await operations.all_reduce(g, "ring", partials[0]) for g in ranks.groups[:2]]
        await bench.restart("chip-2")
        assert all(isinstance(error, PeerDead) for error in await settled(begun))
        ranks.groups[2] = join(bench, "chip-2", names(3), 3)
        ranks.all = ranks.groups
        for group in ranks.groups:
            group.restart(1 << 20)
        received = await ranks.ask(lambda g, rank: operations.all_reduce(g, "ring", partials[rank]))
        expected = total(EXACT_NUMERICS, partials)
        assert all(np.array_equal(sums, expected) for sums in received)
        await bench.clock.wait_until(bench.clock.now() + SECOND_NS)
        ranks.assert_idle()

    Bench(*names(3)).run(job)


def test_shares_that_differ_in_size_are_named() -> None:
    async def job(bench: Bench) -> None:
        ranks = Ranks(bench, 2, None)
        begun = [
            await operations.all_reduce(group, "direct", np.zeros((1, 4 + group.me)))
            for group in ranks.groups
        ]
        with pytest.raises(CorruptMessage, match="rank 0 4, rank 1 5 entries"):
            await begun[0].receive()
        begun[1].abandon()

    Bench(*names(2)).run(job)


def test_a_rank_that_is_ahead_waits() -> None:
    """Broadcasts ask nothing of the others, so their source could go on for ever."""
    num = 3 * AHEAD_MAX

    async def job(bench: Bench) -> None:
        source, reader = Ranks(bench, 2, None).groups
        begun: list[int] = []

        async def tell() -> None:
            for i in range(num):
                begun.append(i)
                await operations.broadcast(source, "direct", np.array([i]), 8)

        task = bench.node("chip-0").spawn(tell(), "tell")
        await bench.clock.wait_until(SECOND_NS // 4)
        assert len(begun) == 2 * AHEAD_MAX + 1 and reader.num_open() == 2 * AHEAD_MAX
        for i in range(num):
            told = await operations.broadcast(reader, "direct", None)
            assert (await told.receive()).tolist() == [i]
        await bench.clock.wait_until(bench.clock.now() + 10_000)
        assert task.done() and len(begun) == num
        assert not source.num_open() and not reader.num_open()

    Bench(*names(2)).run(job)


def test_an_abandoned_one_goes_on_for_the_others() -> None:
    partials = shares(4, 1, 4)

    async def job(bench: Bench) -> None:
        ranks = Ranks(bench, 4, None)
        begun = [
            await operations.all_reduce(group, "ring", partials[group.me]) for group in ranks.groups
        ]
        begun[1].abandon()
        expected = total(EXACT_NUMERICS, partials)
        for one in (begun[0], *begun[2:]):
            assert np.array_equal(await one.receive(), expected)
        await bench.clock.wait_until(bench.clock.now() + 100_000)
        ranks.assert_idle()

    Bench(*names(4)).run(job)
