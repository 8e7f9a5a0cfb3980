"""Tokens copied and sums added by a switch: the bits are those of messages from chip to shard, and
what is lost on the way is repaired from end to end.
"""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.bench import SECOND_NS, Bench
from tests.workers.experts.test_missing import assert_lacks
from tests.workers.experts.toy import HIDDEN, NUM_EXPERTS, Side, cluster, serve, table, tokens
from tests.workers.wire.calls import Each, assert_idle
from workers.experts.routing import RoutingTable
from workers.experts.switch import ExpertSwitch
from workers.experts.switched import BySwitch
from workers.experts.tokens import Combined, Tokens
from workers.host.trace import Delivered
from workers.wire.rules import Drop, Duplicate, Pass

SWITCH = "switch-0"
OWNERS = st.lists(st.integers(0, 4), min_size=NUM_EXPERTS, max_size=NUM_EXPERTS)
# What a switch does.
WAYS = [(True, False), (False, True), (True, True)]


class Sides:
    """A chip's way by the switch, and its direct one."""

    def __init__(
        self, bench: Bench, owner: list[int], way: tuple[bool, bool], asked: RoutingTable | None
    ) -> None:
        self.table = asked or table(owner)
        self.switch = ExpertSwitch(bench.nodes[SWITCH], SWITCH)
        by = BySwitch(SWITCH, *way)
        self.by = bench.nodes["chip"].dispatch_side("chip", by)
        self.direct = Side(bench, owner, "other").exchange

    async def ask(self, batch: Tokens, timeout_ns: int = SECOND_NS) -> Combined:
        return await self.by.combine_receive(
            await self.by.dispatch_send(batch, self.table, timeout_ns)
        )

    async def same(self, batch: Tokens) -> None:
        """As from chip to shard, to the bit."""
        handle = await self.direct.dispatch_send(batch, self.table, SECOND_NS)
        direct, by = await self.direct.combine_receive(handle), await self.ask(batch)
        assert not direct.missing and not by.missing
        assert np.array_equal(direct.sums_TH, by.sums_TH)


def placed(owner: list[int], **options: Any) -> Bench:
    return cluster(owner, ("chip", "other", SWITCH), **options)[0]


async def assert_at_rest(bench: Bench, sides: Sides) -> None:
    await bench.clock.wait_until(bench.clock.now() + SECOND_NS)
    assert_idle(bench)
    assert not len(sides.switch)


@settings(max_examples=30)
@given(OWNERS, st.integers(0, 2**20), st.integers(1, 7), st.integers(1, 4), st.sampled_from(WAYS))
def test_any_placement_gives_the_bits_of_direct_messages(
    owner: list[int], seed: int, num_tokens: int, top_k: int, way: tuple[bool, bool]
) -> None:
    async def job(bench: Bench) -> None:
        serve(bench)
        sides = Sides(bench, owner, way, None)
        await sides.same(tokens(seed, num_tokens, top_k, layer=seed % 3))
        await assert_at_rest(bench, sides)

    placed(owner, through_frames=seed % 2 == 0).run(job)


def test_copies_of_experts_are_asked_as_directly() -> None:
    """Which copy follows from the token, whoever spreads them."""
    owner = [0, 1, 2, 3] * 2
    holders = {e: [f"shard-{s}" for s in range(4)] for e in range(NUM_EXPERTS)}

    async def job(bench: Bench) -> None:
        for name in ("shard-0", "shard-1", "shard-2", "shard-3"):
            model = bench.nodes[name].worker._experts  # type: ignore[attr-defined]
            model.expert_ids = tuple(range(NUM_EXPERTS))
        serve(bench)
        asked = RoutingTable.of(holders, sorted(holders[0]))
        await Sides(bench, owner, (True, True), asked).same(tokens(5, 30, 3))

    placed(owner).run(job)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_what_each_message_costs_by_hand(way: tuple[bool, bool]) -> None:
    """12 tokens of 2 experts each on 4 shards, rows and sums of 6 x 4 bytes. A token costs its
    shard 12 + 2 x 8 and a row, a sum back a row; copied it goes up once, with 2 bytes an expert
    more for who is asked and 8 for each shard's call. Sums that meet on a switch carry whose they
    are: 12 bytes each, there and on, where each token has one.
    """
    owner, batch = [0, 1, 2, 3] * 2, tokens(1, 12, 2)
    pairs = len({(t, owner[e]) for t in range(12) for e in batch.experts_TK[t].tolist()})
    row, envelope = 4 * HIDDEN, 64
    gather = 4 + 8 + 4 * 4 + 8

    async def job(bench: Bench) -> None:
        serve(bench)
        await Sides(bench, owner, way, None).ask(batch)

    bench = placed(owner)
    bench.run(job)
    cost, count = Counter[str](), Counter[str]()
    for record in bench.trace.records:
        if isinstance(record, Delivered):
            cost[record.kind] += record.num_bytes
            count[record.kind] += 1
    copies, adds = way
    told = adds * gather
    asked = 4 * (envelope + 4 + told) + pairs * (12 + 2 * 8 + row)
    expected = {
        "relayed" if copies else "dispatch": (4, asked),
        **({"multicast": (1, envelope + 4 + 12 * (12 + 2 * 10 + row) + 4 * 8 + told)}
           if copies else {}),
        **({"partial": (4, 4 * (envelope + gather + 8) + pairs * (12 + row)),
            "reduced": (1, envelope + 4 * 8 + 12 * (12 + row))}
           if adds else {"combine": (4, 4 * envelope + pairs * row)}),
    }  # fmt: skip
    assert {kind: (count[kind], cost[kind]) for kind in cost} == expected


@pytest.mark.parametrize("kind", ["multicast", "relayed", "partial", "reduced"])
@pytest.mark.parametrize("duplicates", [False, True])
def test_what_is_lost_or_doubled_costs_time_and_no_token(kind: str, duplicates: bool) -> None:
    owner = [0, 1, 2, 3] * 2

    async def job(bench: Bench) -> None:
        serve(bench)
        hit = Duplicate(300) if duplicates else Drop()
        for node in bench.nodes.values():
            node.endpoint.rules["x"] = Each(lambda _, m: hit if m.kind == kind else Pass())
        sides = Sides(bench, owner, (True, True), None)
        for seed in range(4):
            await sides.same(tokens(seed, 9, 2))
        await assert_at_rest(bench, sides)

    placed(owner).run(job)


def test_a_dead_shard_and_a_silent_one_are_missed_by_their_own_tokens() -> None:
    """Of a shard that is gone nobody waits; of one that says nothing the switch does for half of
    the time, and the chip for all of it.
    """
    owner, batch, timeout_ns = [0, 1, 2, 3] * 2, tokens(1, 12, 2), 10**7

    async def job(bench: Bench) -> None:
        serve(bench)
        sides = Sides(bench, owner, (True, True), None)
        silent = Each(lambda _, m: Drop() if m.destination == "shard-1" else Pass())
        for name in ("chip", SWITCH):
            bench.nodes[name].endpoint.rules["cut"] = silent
        begun_ns = bench.clock.now()
        assert_lacks(await sides.ask(batch, timeout_ns), batch, owner, 1)
        assert bench.clock.now() - begun_ns == timeout_ns
        for name in ("chip", SWITCH):
            del bench.nodes[name].endpoint.rules["cut"]
        handle = await sides.by.dispatch_send(batch, sides.table, timeout_ns)
        await bench.kill("shard-2")
        begun_ns = bench.clock.now()
        assert_lacks(await sides.by.combine_receive(handle), batch, owner, 2)
        assert bench.clock.now() - begun_ns < timeout_ns // 10
        await assert_at_rest(bench, sides)

    placed(owner).run(job)


def test_a_switch_that_is_gone_is_gone_round() -> None:
    """Also when it dies with what it was sent."""
    owner, batch = [0, 1, 2, 3] * 2, tokens(1, 12, 2)

    async def job(bench: Bench) -> None:
        serve(bench)
        sides = Sides(bench, owner, (True, True), None)
        handle = await sides.by.dispatch_send(batch, sides.table, SECOND_NS)
        await bench.kill(SWITCH)
        assert not (await sides.by.combine_receive(handle)).missing
        await sides.same(batch)

    placed(owner).run(job)
