"""Programs that take turns, in times to reckon with by hand."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.workers.bench import Bench, make_link
from tests.workers.chip.ranks import (
    TIMEOUT_NS,
    interpreter,
    items_of,
    sequences,
)
from tests.workers.wire.calls import Each, assert_idle
from workers.chip.batch import Batch
from workers.chip.interpreter import Lane, Spent
from workers.errors import DeadlineExceeded
from workers.experts.expert_shard import ExpertShard
from workers.experts.routing import RoutingTable
from workers.hardware.work import Work
from workers.host.trace import Ran
from workers.model.program import Compute, Experts, Program, Reduce
from workers.wire.rules import Drop, Pass

LAUNCH_NS, LATENCY_NS, EXPERTS_NS, LAYERS = 20_000, 10_000, 5_000, 6
AWAY_NS = 2 * LATENCY_NS + EXPERTS_NS


class TimedExperts:
    """Takes EXPERTS_NS (a byte a nanosecond), and gives back what it is sent."""

    def forward(self, layer: int, rows: Any, experts: Any, weights: Any) -> NDArray[Any]:
        return rows.astype(np.float64)

    def work(self, layer: int, experts: Any) -> Work:
        return Work.of("experts", reads={"hbm": EXPERTS_NS})


def timed_program(name: str) -> Program[str]:
    rows, ids = np.ones((1, 1), np.float32), np.zeros((1, 1), np.int32)
    for layer in range(LAYERS):
        answer = yield Compute(Work.of(name, reads={"hbm": LAUNCH_NS}), int, ("7",))
        assert answer == 7
        sums = yield Experts(layer, rows, ids, rows)
        assert sums.tolist() == [[1.0]]
    assert (yield Reduce(rows)) is rows
    return name


def run_timed(*names: str) -> tuple[int, Spent, list[str]]:
    """How long they take together, what of it is what, and who launched, in order."""
    links = dict.fromkeys(("chip", "shard-0"), make_link(LATENCY_NS, 10**15))

    async def job(bench: Bench) -> tuple[int, Spent]:
        node, experts = bench.nodes["shard-0"], TimedExperts()
        shard = ExpertShard(node, "shard-0", experts)  # type: ignore[arg-type]
        node.spawn(shard.serve(), "shard-0")
        lanes = [
            Lane(Batch(items_of(sequences([[1]]))), timed_program(name), None) for name in names
        ]
        runs = interpreter(bench.node("chip"))
        spent = await runs.run(lanes, RoutingTable.of({0: "shard-0"}, ("shard-0",)))
        assert [lane.result for lane in lanes] == list(names)
        assert_idle(bench)
        return bench.clock.now(), spent

    bench = Bench("chip", "shard-0", links=links)
    took_ns, spent = bench.run(job)
    launched = [r.work for r in bench.trace.records if isinstance(r, Ran) and r.node == "chip"]
    return took_ns, spent, launched


def test_one_program_waits_for_its_experts() -> None:
    took_ns, spent, _ = run_timed("a")
    expected_ns = LAYERS * (LAUNCH_NS + AWAY_NS)
    assert expected_ns <= took_ns < expected_ns + 100  # a nanosecond or two a message
    assert spent.compute_ns == LAYERS * LAUNCH_NS
    assert spent.wait_ns == took_ns - spent.compute_ns


def test_two_programs_compute_while_the_other_waits() -> None:
    """a launches 0-20 us, b 20-40, a's sums come at 45: a layer of both costs what one alone does,
    and only b's last launch comes on top. Nothing is overlapped that was not there: launches and
    waiting make up the whole time.
    """
    took_ns, spent, launched = run_timed("a", "b")
    expected_ns = LAYERS * (LAUNCH_NS + AWAY_NS) + LAUNCH_NS
    assert expected_ns <= took_ns < expected_ns + 100
    assert launched == ["a", "b"] * LAYERS
    assert spent.compute_ns == 2 * LAYERS * LAUNCH_NS
    assert spent.wait_ns == took_ns - spent.compute_ns
    assert took_ns < 0.6 * 2 * run_timed("a")[0]


def test_a_kernel_that_fails_ends_all_and_leaves_nothing_open() -> None:
    """The other program's tokens are away: nobody waits for them any more."""

    def broken() -> Program[None]:
        yield Compute(Work("broken"), lambda: 1 // 0)

    async def job(bench: Bench) -> None:
        good, bad = timed_program("good"), broken()
        lanes = [Lane(Batch(items_of(sequences([[1]]))), program) for program in (good, bad)]
        table = RoutingTable.of({0: "shard-0"}, ("shard-0",))
        with pytest.raises(ZeroDivisionError):
            await interpreter(bench.node("chip")).run(lanes, table)
        assert [next(program, "ended") for program in (good, bad)] == ["ended"] * 2
        assert_idle(bench)

    Bench("chip", "shard-0").run(job)


def test_a_silent_shard_costs_one_timeout_and_the_sequences_that_need_it() -> None:
    """Of three sequences s1 needs the silent shard at once, s2 three layers later, s0 never. s1
    fails when the timeout has passed; s2 then fails without another; s0's sums are whole.
    """
    needs_from = {1: 0, 2: 3}
    table = RoutingTable.of({0: "shard-0", 1: "shard-1"}, ("shard-0", "shard-1"))
    failed_in: dict[str, int] = {}

    def program(batch: Batch) -> Program[str]:
        rows = np.arange(1, 4, dtype=np.float32)[:, None]
        for layer in range(LAYERS):
            yield Compute(Work.of("launch", reads={"hbm": LAUNCH_NS}), int)
            ids = [int(layer >= needs_from.get(row, LAYERS)) for row in range(3)]
            sums = yield Experts(layer, rows, np.array([ids], np.int32).T, rows)
            assert sums[0] == [1.0]
            for seq_id in batch.failures:
                failed_in.setdefault(seq_id, layer)
        return "done"

    async def job(bench: Bench) -> int:
        for name in table.shards:
            shard = ExpertShard(bench.nodes[name], name, TimedExperts())  # type: ignore[arg-type]
            bench.nodes[name].spawn(shard.serve(), name)
        bench.nodes["chip"].endpoint.rules["cut"] = Each(
            lambda _, message: Drop() if message.destination == "shard-1" else Pass()
        )
        batch = Batch(items_of(sequences([[1], [2], [3]])))
        lane = Lane(batch, program(batch))
        await interpreter(bench.node("chip")).run([lane], table)
        assert lane.result == "done" and not batch.is_lost
        assert [type(e) for e in batch.failures.values()] == [DeadlineExceeded] * 2
        assert_idle(bench)
        return bench.clock.now()

    names = ("chip", *table.shards)
    took_ns = Bench(*names, links=dict.fromkeys(names, make_link(LATENCY_NS, 10**15))).run(job)
    assert failed_in == {"s1": 0, "s2": 3}
    expected_ns = LAYERS * LAUNCH_NS + TIMEOUT_NS + (LAYERS - 1) * AWAY_NS
    assert expected_ns <= took_ns < expected_ns + 100
