"""Shards that say nothing: when others are asked, by hand, and that a late answer is nobody's."""

from typing import Any

import numpy as np
import pytest

from tests.workers.bench import SECOND_NS, Bench
from tests.workers.experts.test_other_copies import HOLDERS, SHARDS
from tests.workers.experts.test_other_copies import placed as placed_copies
from tests.workers.experts.test_other_copies import stand as stand_copies
from tests.workers.experts.test_spares import SPARES, placed
from tests.workers.experts.test_spares import stand as stand_spare
from tests.workers.experts.toy import HIDDEN, Side, dense, tokens
from tests.workers.wire.calls import assert_idle
from workers.errors import DeadlineExceeded
from workers.experts.exchange import DispatchSide
from workers.experts.patience import Patience
from workers.experts.stand_ins import StandIns
from workers.experts.tokens import Tokens
from workers.wire.message import Message
from workers.wire.rules import Delay, Drop, Pass, Verdict

SILENCE_NS = 400_000
WATCHED = Patience(SILENCE_NS)
BATCH = tokens(3, 10, 2)


class Cut:
    """All that goes to a node, or comes from it, is lost."""

    def __init__(self, node: str) -> None:
        self._node = node

    def judge(self, source: str, destination: str, message: Message[Any]) -> Verdict:
        return Drop() if self._node in (source, destination) else Pass()


class Late:
    """All that a node says comes so much later."""

    def __init__(self, node: str, delay_ns: int) -> None:
        self._node, self._delay_ns = node, delay_ns

    def judge(self, source: str, destination: str, message: Message[Any]) -> Verdict:
        return Delay(self._delay_ns) if source == self._node else Pass()


def hit(bench: Bench, rule: Any) -> None:
    for node in bench.nodes.values():
        node.endpoint.rules["test"] = rule


def heal(bench: Bench) -> None:
    for node in bench.nodes.values():
        node.endpoint.rules.clear()


def patient(bench: Bench, patience: Patience = WATCHED) -> Side:
    """Shards 0 and 1, for which shard 2 stands by."""
    side = stand_spare(bench)
    side.exchange = exchange(bench, "chip", patience)
    return side


def exchange(bench: Bench, chip: str, patience: Patience) -> DispatchSide:
    node = bench.node(chip)
    return node.dispatch_side(chip, None, StandIns(node.members, SPARES), patience)


def with_copies(bench: Bench) -> Side:
    side = stand_copies(bench)
    node = bench.node("chip")
    side.exchange = node.dispatch_side("chip", patience=WATCHED)
    return side


def round_ns(batch: Tokens, odd: int = 1) -> int:
    """A byte a ns and 1 us each way; the weights of the experts asked for are 1,000 bytes each."""
    asked = [e for e in np.unique(batch.experts_TK).tolist() if e % 2 == odd]
    rows = int((batch.experts_TK % 2 == odd).any(axis=1).sum())
    there_ns = 1_000 + 64 + 4 + rows * (12 + 8 * batch.experts_TK.shape[1] + 4 * HIDDEN)
    return there_ns + 1_000 * len(asked) + 1_000 + 64 + rows * 4 * HIDDEN


async def ask(side: Side, batch: Tokens = BATCH) -> Any:
    return await side.combine_receive(await side.dispatch_send(batch, SECOND_NS))


def spoil(bench: Bench, shard: str) -> None:
    """What it computes is nonsense from now on: whoever uses it shows."""
    model = bench.nodes[shard].worker._experts  # type: ignore[attr-defined]
    model.forward = lambda layer, rows, experts, weights: np.full(rows.shape, 1e9)


def test_its_spare_is_asked_when_it_is_silent_and_it_itself_when_it_is_heard_again() -> None:
    """Asked at once whether it is there it says nothing: after 400 us, and what a dispatch to the
    spare takes, the step goes on. The next one does not wait. Then links are whole, the one after
    finds it out, and the last asks the shard.
    """

    async def job(bench: Bench) -> None:
        side = patient(bench)
        right = await ask(side)
        hit(bench, Cut("shard-1"))
        begun_ns = bench.clock.now()
        assert np.array_equal(await ask(side), right)
        assert abs(bench.clock.now() - begun_ns - SILENCE_NS - round_ns(BATCH)) <= 2
        assert side.exchange.figures == {"spares_asked": 0, "silent_asked": 1}
        begun_ns = bench.clock.now()
        assert np.array_equal(await ask(side), right)
        assert bench.clock.now() - begun_ns < 3 * round_ns(BATCH), "both parts, none waited for"
        assert side.exchange.figures["spares_asked"] == 1
        heal(bench)
        await bench.clock.wait_until(bench.clock.now() + 2 * SILENCE_NS)
        await ask(side)
        await bench.clock.wait_until(bench.clock.now() + SILENCE_NS)
        asked = side.exchange.figures
        assert np.array_equal(await ask(side), right) and side.exchange.figures == asked
        assert_idle(bench)

    placed().run(job)


@pytest.mark.parametrize("first", ["shard-1", "shard-2"])
def test_the_first_answer_counts_and_the_other_is_nobodys(first: str) -> None:
    """The shard answers after the spare was asked: half a round before the spare does, or long
    after. Whoever is
    later computes nonsense, and no sum has any of it, then or in the steps after it.
    """

    async def job(bench: Bench) -> None:
        side = patient(bench)
        right = await ask(side)
        late_ns = SILENCE_NS - round_ns(BATCH) // 2 if first == "shard-1" else 900_000
        hit(bench, Late("shard-1", late_ns))
        spoil(bench, "shard-2" if first == "shard-1" else "shard-1")
        assert np.array_equal(await ask(side), right)
        if first == "shard-2":
            for _ in range(30):  # while the late sums come
                assert np.array_equal(await ask(side), right)
                await bench.clock.wait_until(bench.clock.now() + 20_000)
                if not side.exchange._stand_ins.silent:
                    break
        heal(bench)
        await bench.clock.wait_until(bench.clock.now() + SECOND_NS)
        assert_idle(bench)

    placed().run(job)


def test_a_shard_that_computes_for_long_is_waited_for() -> None:
    """Ten times as long as it may be silent: it says that it is there, and nobody else is asked."""

    async def job(bench: Bench) -> None:
        side = patient(bench)
        right = await ask(side)
        model = bench.nodes["shard-1"].worker._experts  # type: ignore[attr-defined]
        work = model.work
        model.work = lambda *a: work(*a).__class__.of("experts", reads={"hbm": 10 * SILENCE_NS})
        begun_ns = bench.clock.now()
        assert np.array_equal(await ask(side), right)
        assert bench.clock.now() - begun_ns > 10 * SILENCE_NS
        assert side.exchange.figures == {"spares_asked": 0, "silent_asked": 0}
        assert_idle(bench)

    placed().run(job)


def test_where_the_spare_is_silent_too_the_tokens_are_missed_at_the_deadline() -> None:
    async def job(bench: Bench) -> None:
        side = patient(bench)
        await ask(side)
        for name in ("shard-1", "shard-2"):
            for node in bench.nodes.values():
                node.endpoint.rules[name] = Cut(name)
        begun_ns = bench.clock.now()
        handle = await side.dispatch_send(BATCH, 10 * SILENCE_NS)
        (missing,) = (await side.combine(handle)).missing
        assert bench.clock.now() - begun_ns <= 10 * SILENCE_NS + 2
        assert missing.shard == "shard-1" and isinstance(missing.error, DeadlineExceeded)
        heal(bench)
        await bench.clock.wait_until(bench.clock.now() + SECOND_NS)
        assert_idle(bench)

    placed().run(job)


def test_a_short_call_leaves_half_of_its_time_to_the_spare() -> None:
    async def job(bench: Bench) -> None:
        side = patient(bench)
        right = await ask(side)
        hit(bench, Cut("shard-1"))
        begun_ns = bench.clock.now()
        handle = await side.dispatch_send(BATCH, SILENCE_NS // 2)
        assert np.array_equal(await side.combine_receive(handle), right)
        assert abs(bench.clock.now() - begun_ns - SILENCE_NS // 4 - round_ns(BATCH)) <= 2

    placed().run(job)


@pytest.mark.parametrize("victim", ["shard-0", "shard-2"])
def test_copies_are_asked_by_token_and_only_what_nobody_else_has_is_missed(victim: str) -> None:
    """Shard 0 has nothing alone. Expert 7 is on shard 2 alone: its tokens wait until the call's
    deadline, and no others are missed then.
    """
    batch = tokens(3, 24, 3)
    alone = [e for e, held in HOLDERS.items() if held == (victim,)]

    async def job(bench: Bench) -> None:
        side = with_copies(bench)
        hit(bench, Cut(victim))
        begun_ns = bench.clock.now()
        handle = await side.dispatch_send(batch, 10 * SILENCE_NS)
        combined = await side.combine(handle)
        took_ns = bench.clock.now() - begun_ns
        lacking = np.isin(batch.experts_TK, alone).any(axis=1)
        missed = list[int]()
        for one in combined.missing:
            assert one.shard == victim and isinstance(one.error, DeadlineExceeded)
            missed += one.rows.tolist()
        assert sorted(missed) == np.flatnonzero(lacking).tolist()
        whole = np.flatnonzero(np.logical_not(lacking))
        np.testing.assert_allclose(combined.sums_TH[whole], dense(batch)[whole], rtol=1e-12)
        assert (took_ns < 2 * SILENCE_NS) == (not alone)
        again = await side.combine(await side.dispatch_send(batch, SECOND_NS // 100))
        assert bool(again.missing) == bool(alone)
        heal(bench)
        await bench.clock.wait_until(bench.clock.now() + SECOND_NS)
        assert_idle(bench)

    assert victim in SHARDS
    placed_copies().run(job)
