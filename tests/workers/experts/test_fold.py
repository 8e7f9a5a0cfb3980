"""A folded group beside the very nodes that it stands for: every step of every chip ends at the
same nanosecond, whoever met whom at one instant.
"""

import asyncio
import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kernels.fold import Chosen, Ended, Engine, Link, PlainEngine, Size, Term, Terms, make_engine
from tests.workers.bench import SECOND_NS, Bench, make_device, make_link
from tests.workers.experts.toy import HIDDEN, NUM_EXPERTS, Experts, Side, cluster, serve
from workers.experts.tokens import Tokens
from workers.hardware.work import Work
from workers.host.clock.base import wake
from workers.wire.kinds.experts import Combine, Dispatch

READ_NS = 1_000  # of an expert: the toy's bytes at a byte a ns
FLOPS = 700  # of a choice, at an operation a ns
OVERHEAD_NS = 50


@dataclass(frozen=True)
class Case:
    """starts_ns, launches_ns [chip][step, X + 1], experts [chip][step, X, T, K]"""

    owners: list[int]
    chip_link: Link
    shard_link: Link
    starts_ns: list[int]
    launches_ns: list[NDArray[np.int64]]
    experts: list[NDArray[np.int32]]

    @property
    def exchanges(self) -> int:
        return self.launches_ns[0].shape[1] - 1


def drawn(seed: int, *, slow_chips: bool = False) -> Case:
    """Coarse times and narrow links, so that much happens at one instant, and queues are long."""
    rng = random.Random(seed)
    shards, chips, exchanges = rng.randint(1, 4), rng.randint(1, 5), rng.randint(1, 3)
    owners = [rng.randrange(shards) for _ in range(NUM_EXPERTS)]
    rate = rng.choice([10**9, 10**9 // 3, 4 * 10**9])
    other = rate if not slow_chips else rate * rng.choice([2, 3]) // rng.choice([1, 5])
    grain = rng.choice([1, 500, 1000])
    alike = rng.random() < 0.5
    chip_link, shard_link = (
        Link(one, rng.choice([1, 500, 1000]), rng.choice([0, 0, 300])) for one in (rate, other)
    )
    starts_ns = list[int]()
    launches_ns, experts = list[NDArray[np.int64]](), list[NDArray[np.int32]]()
    for chip in range(chips):
        steps = rng.randint(1, 3)
        tokens, top_k = rng.choice([0, 1, 2, 2, 5]), 2
        starts_ns.append(0 if alike else grain * rng.randint(0, 3))
        shape = steps, exchanges + 1
        draw = np.random.default_rng([seed, 0 if alike else chip])
        launches_ns.append(grain * draw.integers(0, 4, shape))
        chosen = draw.random((steps, exchanges, tokens, NUM_EXPERTS)).argsort(axis=-1)
        experts.append(chosen[..., :top_k].astype(np.int32))
    return Case(owners, chip_link, shard_link, starts_ns, launches_ns, experts)


class _Experts(Experts):
    """Reads what is asked for, and computes for each token that asks."""

    def work(self, layer: int, experts_TK: NDArray[Any]) -> Work:
        mine = experts_TK[np.isin(experts_TK, self.expert_ids)]
        reads = {"hbm": READ_NS * np.unique(mine).size}
        return Work.of("experts", flops={"fp32": FLOPS * mine.size}, reads=reads)


def _tokens(layer: int, experts_TK: NDArray[np.int32]) -> Tokens:
    count = len(experts_TK)
    return Tokens(
        layer,
        "r",
        np.zeros(count, np.uint64),
        np.arange(count),
        np.ones((count, HIDDEN), np.float32),
        experts_TK,
        np.ones(experts_TK.shape, np.float32),
    )


def unfolded(case: Case) -> list[Ended]:
    """By nodes and messages, in the order of the ends."""
    chips = [f"chip-{index}" for index in range(len(case.starts_ns))]
    links = {}
    shards = [f"shard-{index}" for index in range(max(case.owners) + 1)]
    for names, link in ((chips, case.chip_link), (shards, case.shard_link)):
        spec = make_link(link.latency_ns, link.bytes_per_s, "fifo")
        spec = spec.model_copy(update={"startup_ns": link.startup_ns})
        links |= dict.fromkeys(names, spec)
    device = make_device(launch_overhead_ns=OVERHEAD_NS)
    bench, models = cluster(case.owners, tuple(chips), links=links, device=device)
    for model in models.values():
        model.__class__ = _Experts
    ended = []

    async def run(chip: int, side: Side, begin: asyncio.Future[None]) -> None:
        clock = bench.clock
        await begin
        for step, launches_ns in enumerate(case.launches_ns[chip].tolist()):
            wait_ns = 0
            for layer, took_ns in enumerate(launches_ns[:-1]):
                await clock.wait_until(clock.now() + took_ns)
                begun_ns = clock.now()
                batch = _tokens(layer, case.experts[chip][step, layer])
                await side.combine_receive(await side.dispatch_send(batch, SECOND_NS))
                wait_ns += clock.now() - begun_ns
            await clock.wait_until(clock.now() + launches_ns[-1])
            is_last = step + 1 == len(case.launches_ns[chip])
            ended.append(Ended(chip, step, clock.now(), sum(launches_ns), wait_ns, is_last))

    async def job(bench: Bench) -> None:
        serve(bench)
        tasks = []
        for index, name in enumerate(chips):
            begin: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            bench.clock.call_at(case.starts_ns[index], wake, begin)
            side = Side(bench, case.owners, name)
            tasks.append(bench.nodes[name].spawn(run(index, side, begin), "run"))
        for task in tasks:
            await task

    bench.run(job)
    return ended


def terms(case: Case) -> Terms:
    """What the toy's messages and launches come to, by asking them."""
    precision = Bench("one").nodes["one"].endpoint._precision

    def dispatch(rows: int) -> int:
        tokens = _tokens(0, np.zeros((rows, 2), np.int32))
        return Dispatch(
            0, tokens.requests_T, tokens.positions_T, tokens.experts_TK, tokens.weights_TK,
            tokens.hidden_TH,
        ).wire_bytes(precision)  # fmt: skip

    def combine(rows: int) -> int:
        return Combine(np.zeros((rows, HIDDEN))).wire_bytes(precision)

    return Terms(
        case.chip_link,
        case.shard_link,
        Size(dispatch(0), dispatch(1) - dispatch(0)),
        Size(combine(0), combine(1) - combine(0)),
        OVERHEAD_NS,
        tuple(READ_NS * count for count in range(NUM_EXPERTS + 1)),
        (Term("choices", FLOPS, 10**9),),
    )


def folded(case: Case, make: type[Engine]) -> list[Ended]:
    engine = make(len(case.starts_ns), case.owners, terms(case), case.exchanges)
    for chip, (start_ns, launches_ns, experts) in enumerate(
        zip(case.starts_ns, case.launches_ns, case.experts, strict=True)
    ):
        engine.begin(chip, start_ns, launches_ns, Chosen(experts))
    ended: list[Ended] = []
    while engine.next_ns() is not None:
        ended += engine.advance(None)
    return ended


@pytest.mark.parametrize("slow_chips", [False, True])
def test_steps_end_when_those_of_nodes_do(slow_chips: bool) -> None:
    for seed in range(25):
        case = drawn(seed, slow_chips=slow_chips)
        by_nodes = unfolded(case)
        for make in {PlainEngine, make_engine}:
            assert folded(case, make) == by_nodes, f"seed {seed}"
