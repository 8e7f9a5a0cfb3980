"""The engine of folded groups alone: steps a second of 320 chips beside their shards, one core.

    python -m benchmarks.network --only fold_engine

320 chips with 32 tokens each go through 58 layers whose 256 experts lie on 32 shards, 8 a shard, or
on 320 with one of 320 each; machines and links are those of `deepseek-ep32`. Nothing but times is
computed: whoever folds gives the launches of chips, and choices, or a pool to draw them from.

A step is 320 x 32 x 58 = 594,000 pairs of a chip and a shard, each a dispatch and a combine, nearly
all there: with 256 choices a chip leaves one of 32 shards out with a chance of 0.03 %. With 320
shards it asks 177 of them: 3.3 million pairs.

Reckoned: message by message a pair takes 74 us (27,000 envelopes/s). Folded it is an entry put into
a shard's queue, taken out, and put among its chip's answers: three writes and three reads of memory
that is warm, 3 ns each with what they decide; and two ends of launches for every 32 or so of them,
at 100 ns. To draw 32 tokens costs 32 additions of 96 bytes and 16 mixed numbers, 100 ns for 32
pairs. In all 20 to 25 ns (16 were aimed at): 70 to 80 steps/s drawn. Given choices are counted one
by one, copied and checked before: 256 x 4 ns for 32 pairs, 32 ns more: 30 steps/s. With 320 shards
what a pair touches (64 bytes, 5.9 million pairs, those without a message included) leaves the
nearest caches: 30 ns, 6 steps/s.

What came out on two cores that thirty processes shared, as the engine grew (ns of a pair, drawn):

    28 to 30   as first written; a third of it read values back before all their parts were stored
    22 to 24   fields stored one by one, answers in one array, by place
    23 to 25   what a dispatch asks for lies by shard: less memory, and no faster under more load
    20 to 22   what shards ask of a chip in 8 bytes; the sending loop in one piece

which is 75 to 83 steps/s drawn, 31 given, and 6 with 320 shards.
"""

import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.rows import Row
from kernels.fold import Chosen, Drawn, Engine, Link, Size, Term, Terms, make_engine
from kernels.fold.engine import available
from kernels.fold.laws import pool_of

CHIPS, TOKENS, LAYERS, TOP_K = 320, 32, 58, 8
HIDDEN, INNER = 7_168, 2_048
LINK = Link(bytes_per_s=900 * 10**9, latency_ns=3_330)  # nvlink5
OVERHEAD_NS, LATENCY_NS = 3_000, 100  # of b200-sxm: of a launch, of its memory
FLOP_PER_S, READ_BYTES_PER_S = 2_250e12 * 0.78, 8e12 * 0.8
CHIP_NS = 30_000  # of a chip's launch: about what a layer of 32 tokens takes there
POOL = 4_096
STEPS, TRIES = 8, 3
BARS = {"given": 10, "drawn": 60}
EVIDENCE = "measured: the engine alone, one core's CPU seconds, best of 3"


def terms(experts_a_shard: int) -> Terms:
    """bf16 experts; rows go as int8 with their route, and come back as float16."""
    read_ns = 3 * HIDDEN * INNER * 2 * 1e9 / READ_BYTES_PER_S
    return Terms(
        chip_link=LINK,
        shard_link=LINK,
        dispatch=Size(68, 8 + 4 + 8 * TOP_K + HIDDEN + 4),
        combine=Size(64, 2 * HIDDEN),
        overhead_ns=OVERHEAD_NS,
        reads_ns=tuple(LATENCY_NS + int(read_ns * n) for n in range(experts_a_shard + 1)),
        computes=(Term("choices", 6 * HIDDEN * INNER, FLOP_PER_S),),
    )


def group(shards: int) -> tuple[Engine, NDArray[np.int32]]:
    """An engine, and a pool that it has, of uniform choices: [1, P, K]."""
    experts = max(256, shards)
    owners_E = np.arange(experts) * shards // experts
    engine = make_engine(CHIPS, owners_E, terms(experts // shards), LAYERS)
    pool = pool_of(np.ones((1, experts)), TOP_K, POOL, seed=0)
    assert engine.add_pool(pool) == 0
    return engine, pool


def seconds(engine: Engine, steps: int, tries: int, choices: list[Chosen] | None) -> float:
    """Of a step of all chips, the least of some tries, after one that warms up. Given choices are
    the same in each.
    """
    launches_ns = np.full((steps, LAYERS + 1), CHIP_NS)
    took = []
    for number in range(tries + 1):
        begun, ended = time.process_time(), 0
        for chip in range(CHIPS):
            drawn = Drawn(0, TOKENS, seed=1, first_step=number * steps)
            engine.begin(chip, engine.now_ns, launches_ns, choices[chip] if choices else drawn)
        while engine.next_ns() is not None:
            ended += len(engine.advance(None))
        took.append(time.process_time() - begun)
        assert ended == CHIPS * steps
    return min(took[1:]) / steps


def run(steps: int = STEPS, tries: int = TRIES) -> Iterator[Row]:
    engine, pool_XPK = group(32)
    kind = "native" if available else "Python"
    rng, name = (
        np.random.default_rng(0),
        f"{CHIPS} chips x {TOKENS} tokens, {LAYERS} layers, {kind}",
    )
    shape = min(steps, 2), LAYERS, TOKENS
    choices = [Chosen(pool_XPK[0][rng.integers(0, POOL, shape)]) for _ in range(CHIPS)]
    for how, given in (("given", choices), ("drawn", None)):
        took = seconds(engine, steps if given is None else shape[0], tries, given)
        bar, rate = BARS[how], 1 / took
        yield Row(
            f"{name}, 32 shards, choices {how}", rate, "steps/s", f">= {bar}", rate >= bar, EVIDENCE
        )
        a_pair = took / (CHIPS * 32 * LAYERS) * 1e9
        yield Row(f"{name}, 32 shards, {how}: a pair", a_pair, "ns", "shown", True, EVIDENCE)
    engine, _ = group(320)
    rate = 1 / seconds(engine, max(1, steps // 4), tries, None)
    yield Row(f"{name}, 320 shards, choices drawn", rate, "steps/s", "shown", True, EVIDENCE)
