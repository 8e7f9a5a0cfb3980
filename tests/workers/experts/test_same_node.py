"""Experts beside attention: what two workers of one node tell each other costs its memory, and no
link; what they compute shares its resources.
"""

from dataclasses import replace

import numpy as np

from tests.workers.bench import SECOND_NS, Bench
from tests.workers.experts.toy import Experts, dense, table, tokens
from tests.workers.wire.calls import assert_idle
from workers.experts.expert_shard import ExpertShard
from workers.hardware.work import Work

OWNERS = [0] * 4 + [1] * 4
BESIDE = {"chip": "gpu", "shard-0": "gpu", "shard-1": "far"}


def stood(bench: Bench) -> None:
    for index, shard in enumerate(("shard-0", "shard-1")):
        held = tuple(e for e, owner in enumerate(OWNERS) if owner == index)
        worker = ExpertShard(bench.node(shard), shard, Experts(held))  # type: ignore[arg-type]
        bench.node(shard).spawn(worker.serve(), shard)


def test_the_way_to_experts_of_the_same_node_is_its_memory() -> None:
    """A byte a nanosecond each way, write and read side by side. Three tokens of one expert each,
    rows of 6 numbers: 64 + 4 + 3 (8 + 4 + 4 + 4 + 24) bytes there, 64 + 3 x 24 back. Weights are
    1,000 bytes an expert.
    """
    batch = replace(tokens(1, 3, 1), experts_TK=np.array([[0], [1], [0]], np.int32))

    async def job(bench: Bench) -> None:
        stood(bench)
        exchange = bench.node("chip").dispatch_side("chip")
        away = await exchange.dispatch_send(batch, table(OWNERS), SECOND_NS)
        combined = await exchange.combine_receive(away)
        np.testing.assert_allclose(combined.sums_TH, dense(batch), rtol=1e-12)
        there, back, weights = 64 + 4 + 3 * 44, 64 + 3 * 24, 2 * 1_000
        assert bench.clock.now() == there + weights + back
        busy = bench.nodes["gpu"].busy_ns()
        assert busy["link.out"] == busy["link.in"] == 0
        assert busy["hbm.write"] == there + back
        assert busy["hbm.read"] == there + weights + back
        assert_idle(bench)

    Bench(directory=BESIDE).run(job)


def test_experts_here_and_elsewhere_are_asked_at_once() -> None:
    """Of two experts a token, one here and one far: only the far one's messages cross the link."""
    batch = replace(tokens(1, 3, 2), experts_TK=np.array([[0, 4], [1, 5], [0, 4]], np.int32))

    async def job(bench: Bench) -> None:
        stood(bench)
        exchange = bench.node("chip").dispatch_side("chip")
        away = await exchange.dispatch_send(batch, table(OWNERS), SECOND_NS)
        combined = await exchange.combine_receive(away)
        np.testing.assert_allclose(combined.sums_TH, dense(batch), rtol=1e-12)
        there, back, weights = 64 + 4 + 3 * 52, 64 + 3 * 24, 2 * 1_000
        assert bench.clock.now() == 2 * 1_000 + there + weights + back
        busy = bench.nodes["gpu"].busy_ns()
        assert (busy["link.out"], busy["link.in"]) == (there, back)
        assert busy["hbm.write"] == there + back

    Bench(directory=BESIDE).run(job)


def test_they_wait_for_the_machine_that_attention_works_on() -> None:
    """Attention reads 5,000 bytes when three tokens come: the memory serves one after the other."""
    batch = replace(tokens(1, 3, 1), experts_TK=np.zeros((3, 1), np.int32))

    async def job(bench: Bench) -> None:
        stood(bench)
        machine = bench.nodes["gpu"].hardware
        machine.launch(Work.of("attention", reads={"hbm": 5_000}), 0)
        exchange = bench.node("chip").dispatch_side("chip")
        away = await exchange.dispatch_send(batch, table(OWNERS), SECOND_NS)
        await exchange.combine_receive(away)
        there, back = 64 + 4 + 3 * 44, 64 + 3 * 24
        assert bench.clock.now() == 5_000 + there + 1_000 + back

    Bench(directory=BESIDE).run(job)
