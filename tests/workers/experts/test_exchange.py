"""Token all-to-all against a dense reference: who holds which expert must not matter."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.workers.bench import SECOND_NS, Bench
from tests.workers.wire.calls import Each, assert_idle
from workers.errors import DeadlineExceeded, PeerDead
from workers.experts.exchange import CombineSide, DispatchSide, Tokens, request_number
from workers.experts.expert_shard import ExpertShard
from workers.hardware.work import Work
from workers.wire.rules import Drop, Duplicate, Pass, Verdict

HIDDEN, NUM_EXPERTS = 6, 8


class Experts:
    """Expert e multiplies a row by a matrix of its own; counts what it is asked for."""

    def __init__(self, expert_ids: tuple[int, ...] = tuple(range(NUM_EXPERTS))) -> None:
        self.expert_ids = expert_ids
        self.matrices = np.random.default_rng(3).normal(size=(NUM_EXPERTS, HIDDEN, HIDDEN))
        self.works: list[Work] = []

    def forward(
        self, layer: int, hidden_TH: NDArray, experts_TK: NDArray, weights_TK: NDArray
    ) -> NDArray:
        sums = np.zeros(hidden_TH.shape, np.float64)
        for t, k in np.ndindex(experts_TK.shape):
            expert = int(experts_TK[t, k])
            if expert in self.expert_ids:
                row = hidden_TH[t].astype(np.float64) @ self.matrices[expert]
                sums[t] += (layer + 1) * float(weights_TK[t, k]) * row
        return sums

    def work(self, layer: int, experts_TK: NDArray) -> Work:
        active = np.unique(experts_TK[np.isin(experts_TK, self.expert_ids)]).size
        self.works.append(Work.of("experts", reads={"hbm": 1_000 * active}))
        return self.works[-1]


def tokens(seed: int, num_tokens: int, top_k: int, layer: int = 0) -> Tokens:
    rng = np.random.default_rng(seed)
    experts = np.stack([rng.permutation(NUM_EXPERTS)[:top_k] for _ in range(num_tokens)])
    return Tokens(
        layer,
        f"r{seed}",
        np.full(num_tokens, request_number(f"r{seed}"), np.uint64),
        np.arange(num_tokens),
        rng.normal(size=(num_tokens, HIDDEN)).astype(np.float32),
        experts.astype(np.int32),
        rng.random((num_tokens, top_k)).astype(np.float32),
    )


def cluster(owner: list[int], chips: tuple[str, ...] = ("chip",)) -> tuple[Bench, dict]:
    """Chips, and as many shards as `owner` (expert -> shard) names."""
    shards = tuple(f"shard-{i}" for i in range(max(owner) + 1))
    bench = Bench(*chips, *shards)
    models: dict[str, Experts] = {}
    for index, shard in enumerate(shards):
        models[shard] = Experts(tuple(e for e, s in enumerate(owner) if s == index))
        worker = ExpertShard(bench.nodes[shard], shard, models[shard])  # type: ignore[arg-type]
        bench.nodes[shard].worker = worker  # type: ignore[attr-defined]
    return bench, models


def side(bench: Bench, owner: list[int], chip: str = "chip") -> DispatchSide:
    shards = tuple(f"shard-{i}" for i in range(max(owner) + 1))
    placed = {e: shards[s] for e, s in enumerate(owner)}
    return DispatchSide(bench.port(chip), bench.clock, shards, placed)


def serve(bench: Bench) -> None:
    for name, node in bench.nodes.items():
        if name.startswith("shard"):
            node.spawn(node.worker.serve(), name)  # type: ignore[attr-defined]


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


def test_a_dead_shard_fails_the_step_and_leaves_no_call_open() -> None:
    """Before the dispatch (some shards were already asked), and between dispatch and combine."""
    owner = [0, 1, 2, 3] * 2

    async def job(bench: Bench) -> None:
        exchange = side(bench, owner)
        handle = await exchange.dispatch_send(tokens(1, 4, 4), SECOND_NS)
        await bench.kill("shard-2")
        with pytest.raises((PeerDead, DeadlineExceeded)):
            await exchange.combine_receive(handle)
        assert bench.nodes["chip"].endpoint.in_flight() == 0
        with pytest.raises(PeerDead, match="shard-2"):
            await exchange.dispatch_send(tokens(2, 4, 4), SECOND_NS)
        assert bench.nodes["chip"].endpoint.in_flight() == 0

    bench, _ = cluster(owner)
    bench.run(job)


def test_an_expert_elsewhere_is_minus_one_here() -> None:
    owner = [0] * 4 + [1] * 4
    bench = Bench("chip", "shard-0", "shard-1")
    seen: dict[str, NDArray] = {}
    sides = {n: CombineSide(bench.port(n), bench.clock) for n in ("shard-0", "shard-1")}

    async def job(bench: Bench) -> None:
        batch = tokens(4, 6, 3)
        handle = await side(bench, owner).dispatch_send(batch, SECOND_NS)
        for name, combine in sides.items():
            (dispatched,) = await combine.dispatch_receive()
            seen[name] = dispatched.experts_TK
            assert set(dispatched.message.columns) == {"request", "position", "experts", "weights"}
        for pending in handle.pending:
            pending.abandon()
        for name, rows in zip(sides, handle.rows_by_shard, strict=True):
            wanted, here = batch.experts_TK[rows], range(4) if name == "shard-0" else range(4, 8)
            assert np.array_equal(seen[name], np.where(np.isin(wanted, here), wanted, -1))
            assert (seen[name] >= 0).any(axis=1).all(), "a token without an expert here stays away"

    bench.run(job)
