"""Token all-to-all against a dense reference: who holds which expert must not matter."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.workers.bench import SECOND_NS, Bench
from tests.workers.experts.toy import (
    NUM_EXPERTS,
    Experts,
    cluster,
    serve,
    side,
    table,
    tokens,
)
from tests.workers.wire.calls import Each, assert_idle
from workers.experts.expert_shard import ExpertShard
from workers.experts.tokens import Tokens
from workers.hardware.work import Work
from workers.model.numerics import Places
from workers.wire.rules import Drop, Duplicate, Pass, Verdict

OWNERS = st.lists(st.integers(0, 4), min_size=NUM_EXPERTS, max_size=NUM_EXPERTS)


@settings(max_examples=40)
@given(OWNERS, st.integers(0, 2**20), st.integers(1, 7), st.integers(1, 4))
def test_any_placement_equals_the_dense_reference(
    owner: list[int], seed: int, num_tokens: int, top_k: int
) -> None:
    batch = tokens(seed, num_tokens, top_k, layer=seed % 3)

    async def job(bench: Bench) -> NDArray:
        serve(bench)
        exchange = side(bench, owner)
        handle = await exchange.dispatch_send(batch, SECOND_NS)
        # Only shards with work are asked, and each once.
        assert len(handle.pending) == np.unique(np.array(owner)[batch.experts_TK]).size
        sums = await exchange.combine_receive(handle)
        assert_idle(bench)
        return sums

    bench, models = cluster(owner)
    sums = bench.run(job)
    dense = Experts().forward(batch.layer, batch.hidden_TH, batch.experts_TK, batch.weights_TK)
    np.testing.assert_allclose(sums, dense, rtol=1e-12, atol=1e-12)
    held = [s for s in range(max(owner) + 1) if s not in np.array(owner)[batch.experts_TK]]
    assert all(not models[f"shard-{s}"].works for s in held), "an idle shard hears nothing"


def test_bits_do_not_depend_on_who_answers_first() -> None:
    """One shard after the other is made slow; partial sums merge in the order of the shards."""
    owner = [0, 1, 2, 3, 0, 1, 2, 3]
    batch = tokens(5, 9, 4)
    results = []
    for slow in range(4):

        async def job(bench: Bench, slow: int = slow) -> NDArray:
            serve(bench)
            machine = bench.nodes[f"shard-{slow}"].hardware
            machine.launch(Work.of("busy", reads={"hbm": 10**6}), 0)
            exchange = side(bench, owner)
            return await exchange.combine_receive(await exchange.dispatch_send(batch, SECOND_NS))

        bench, _ = cluster(owner)
        results.append(bench.run(job))
    assert all(np.array_equal(results[0], other) for other in results[1:])


def test_a_micro_batch_travels_while_another_is_away() -> None:
    owner = [0] * 4 + [1] * 4

    async def job(bench: Bench) -> None:
        serve(bench)
        exchange = side(bench, owner)
        batches = [tokens(i, 3, 2) for i in range(3)]
        handles = [await exchange.dispatch_send(batch, SECOND_NS) for batch in batches]
        for batch, handle in reversed(list(zip(batches, handles, strict=True))):
            sums = await exchange.combine_receive(handle)
            dense = Experts().forward(0, batch.hidden_TH, batch.experts_TK, batch.weights_TK)
            np.testing.assert_allclose(sums, dense, rtol=1e-12)
        assert_idle(bench)

    cluster(owner)[0].run(job)


def test_a_shard_batches_all_who_wait_and_reads_weights_once() -> None:
    """While the first batch runs, two chips' dispatches arrive: the next launch takes both, and an
    expert that both want is read once. Layers go apart: they share no weights.
    """
    owner, chips = [0] * NUM_EXPERTS, ("x", "y", "z")
    same = tokens(1, 2, 2)

    async def job(bench: Bench) -> None:
        serve(bench)
        shard = bench.nodes["shard-0"].worker  # type: ignore[attr-defined]

        async def ask(chip: str, at_ns: int, batch: Tokens) -> None:
            await bench.clock.wait_until(at_ns)
            exchange = side(bench, owner, chip)
            handle = await exchange.dispatch_send(batch, SECOND_NS)
            sums = await exchange.combine_receive(handle)
            dense = Experts().forward(
                batch.layer, batch.hidden_TH, batch.experts_TK, batch.weights_TK
            )
            np.testing.assert_allclose(sums, dense, rtol=1e-12)

        plan = [("x", 0, same), ("y", 100, same), ("z", 200, same), ("x", 300, tokens(2, 1, 1, 1))]
        tasks = [bench.nodes[c].spawn(ask(c, at, b), f"{c}{at}") for c, at, b in plan]
        for task in tasks:
            await task
        assert shard.num_batches == 3 and shard.num_tokens == 2 + 4 + 1
        assert shard.backlog() == 0

    bench, models = cluster(owner, chips)
    bench.run(job)
    first, second, third = (work.amounts()["hbm.read"] for work in models["shard-0"].works)
    assert first == second, "twice the tokens, the same weights"
    assert third == 1_000


@pytest.mark.parametrize("verdict", ["drop", "twice"])
def test_lost_and_doubled_dispatches_change_nothing(verdict: str) -> None:
    owner, batch = [0, 1] * 4, tokens(9, 5, 3)

    async def job(bench: Bench) -> None:
        serve(bench)
        hit: Verdict = Drop() if verdict == "drop" else Duplicate(300)
        for node in bench.nodes.values():
            node.endpoint.rules["x"] = Each(lambda n, m: hit if n % 3 == 1 else Pass())
        exchange = side(bench, owner)
        for _ in range(6):
            sums = await exchange.combine_receive(await exchange.dispatch_send(batch, 10**7))
            dense = Experts().forward(0, batch.hidden_TH, batch.experts_TK, batch.weights_TK)
            np.testing.assert_allclose(sums, dense, rtol=1e-12)
        await bench.clock.wait_until(SECOND_NS)
        assert_idle(bench)
        shards = [bench.nodes[f"shard-{i}"].worker for i in (0, 1)]  # type: ignore[attr-defined]
        assert [shard.num_batches for shard in shards] == [6, 6]

    cluster(owner)[0].run(job)


def test_an_expert_elsewhere_is_minus_one_here() -> None:
    owner = [0] * 4 + [1] * 4
    bench = Bench("chip", "shard-0", "shard-1")
    seen: dict[str, NDArray] = {}
    sides = {n: bench.node(n).combine_side(n) for n in ("shard-0", "shard-1")}

    async def job(bench: Bench) -> None:
        batch = tokens(4, 6, 3)
        handle = await side(bench, owner).dispatch_send(batch, SECOND_NS)
        for name, combine in sides.items():
            (dispatched,) = await combine.dispatch_receive()
            seen[name] = dispatched.content.experts
            content = dispatched.content
            rows_here = np.isin(batch.positions_T, content.position)
            assert np.array_equal(content.weights, batch.weights_TK[rows_here])
        for pending in handle.pending:
            pending.abandon()
        for name, rows in zip(sides, handle.rows_by_shard, strict=True):
            wanted, here = batch.experts_TK[rows], range(4) if name == "shard-0" else range(4, 8)
            assert np.array_equal(seen[name], np.where(np.isin(wanted, here), wanted, -1))
            assert (seen[name] >= 0).any(axis=1).all(), "a token without an expert here stays away"

    bench.run(job)


class Digests:
    """Numerics whose rows are 64-bit digests, [T], and whose sums wrap."""

    free_metadata = False

    def kv_bytes(self, blocks: NDArray) -> int:
        return blocks.nbytes

    query_bytes = kv_bytes

    def of_kv(self, numbers: str | None) -> "Digests":
        return self

    def row_bytes(self, hidden: int) -> int:
        return 8

    def sum_bytes(self, hidden: int) -> int:
        return 8

    def sent(self, rows_T: NDArray) -> NDArray:
        return rows_T

    received = answered = sent

    def zero(self, rows_T: NDArray) -> NDArray:
        return np.zeros(rows_T.shape, np.uint64)

    def add(self, sums_T: NDArray, places: Places, partial: NDArray) -> None:
        sums_T[places] += partial

    def stretch(self, sums_T: NDArray, rows: NDArray, factors: NDArray) -> None:
        """There is no part of a digest."""


class DigestExperts:
    """Expert e multiplies a digest by an odd number of its own, modulo 2^64."""

    def __init__(self, expert_ids: tuple[int, ...]) -> None:
        self.expert_ids = expert_ids

    def forward(self, layer: int, rows: NDArray, experts: NDArray, weights: NDArray) -> NDArray:
        factors = (2 * experts + 3).astype(np.uint64) * np.isin(experts, self.expert_ids)
        sums: NDArray = (rows[:, None] * factors.astype(np.uint64)).sum(axis=1, dtype=np.uint64)
        return sums

    def work(self, layer: int, experts_TK: NDArray) -> Work:
        return Work("experts")


def test_rows_need_not_be_real_numbers() -> None:
    """Exchange and shard carry digests as well: only numerics and experts know what a row is."""
    owner, batch = [0, 1, 2, 0, 1, 2, 0, 1], tokens(8, 30, 3)
    rows = np.random.default_rng(0).integers(2**63, 2**64, 30, dtype=np.uint64)

    async def job(bench: Bench) -> None:
        for index in range(3):
            node = bench.nodes[f"shard-{index}"]
            experts = DigestExperts(tuple(e for e, s in enumerate(owner) if s == index))
            shard = ExpertShard(node, node.name, experts)  # type: ignore[arg-type]
            node.spawn(shard.serve(), node.name)
        exchange = bench.node("chip").dispatch_side("chip")
        handle = await exchange.dispatch_send(
            replace(batch, hidden_TH=rows), table(owner), SECOND_NS
        )
        combined = await exchange.combine_receive(handle)
        expected = [
            sum(int(row) * (2 * int(e) + 3) for e in experts) % 2**64
            for row, experts in zip(rows, batch.experts_TK, strict=True)
        ]
        assert combined.sums_TH.tolist() == expected

    Bench("chip", "shard-0", "shard-1", "shard-2", numerics=Digests()).run(job)
