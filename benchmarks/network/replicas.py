"""Expert replicas under Zipf loads: imbalance and the time of a layer, with EPLB and without.

A layer like DeepSeek-V3's (hidden 7,168, experts of 2,048, rows and sums in bf16) with 64 experts,
4 of them a token, on 8 shards; 8 chips dispatch 512 tokens each at once, as in prefill: all on
H100s with NVLink. Experts are drawn without replacement, popularity is Zipf over a shuffled order.
EPLB has 96 slots and the loads of one batch; what is shown is of another. A shard's launch asks for
the operations of its tokens; weights are left out, as that many tokens hide their reading.

Expected before the first run. By hand, the layer takes what its busiest shard takes, one after the
other: the path, its rows in, its launch, its sums out:

    2 a + rows (12 + 8 K + 14,336) / B + launch + pairs 111 ns + rows 14,336 / B

with a = 3.33 us, B = 450 GB/s, and 2 x 3 x 7,168 x 2,048 operations at 0.8 x 989 TFLOP/s for each
pair of a token and an expert. Dispatches come together, so the first launch may take one and the
second all others: one more launch of 3 us, and computing begins while others still come. So 0 to
10 % less than that. Without copies the largest over mean of 8 shards, with 8 experts each drawn by
Zipf 1.0, is 1.5 to 2.5; a shard with the first one has at least 0.16 of all, 1.3. With EPLB a copy
carries at most 1/96 or so of all where it is split, and packing evens out the rest: below 1.05 for
the loads it was given, below 1.1 for others. The layer's time follows.

What came out: largest over mean 2.14 and 2.65 (Zipf 1.0 and 1.5), with EPLB 1.04 and 1.02; the
layer takes 1.98 and 2.43 times that of uniform loads, with EPLB as long as that. Beside arithmetic
by hand 1.6 to 2.5 % less: of eight dispatches that come together the first is computed while the
last bytes of others come. Shares of copies by loads (`placement.experts.replicas.shares`) gain
nothing here: for the loads it was given, EPLB's packing leaves 1.01 with 68 slots already. They are
for shards of few experts (the demo with nine slots: 1.27 and 1.04).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.network.collectives import digests
from benchmarks.rows import Row
from configs.eplb import balance, imbalance
from configs.schema import load_device, load_link
from tests.workers.bench import SECOND_NS, Bench
from workers.experts.expert_shard import ExpertShard
from workers.experts.routing import RoutingTable
from workers.experts.tokens import Tokens, request_number
from workers.hardware.work import Work

NUM_EXPERTS, TOP_K, NUM_SHARDS, NUM_CHIPS, TOKENS, SLOTS = 64, 4, 8, 8, 512, 96
HIDDEN, INNER = 7_168, 2_048
ROW_BYTES = 2 * HIDDEN
PAIR_FLOPS = 2 * 3 * HIDDEN * INNER
SHARDS = tuple(f"experts-{i}" for i in range(NUM_SHARDS))
CHIPS = tuple(f"chip-{i}" for i in range(NUM_CHIPS))
Ids = NDArray[np.int32]


class _Experts:
    """Expert e adds (2 e + 3) times a row's word; a launch costs its pairs' operations."""

    def __init__(self, held: tuple[int, ...]) -> None:
        self.expert_ids = held

    def forward(
        self, layer: int, words_T: NDArray[np.uint64], experts_TK: Ids, weights_TK: NDArray[Any]
    ) -> NDArray[np.uint64]:
        asked = experts_TK >= 0
        assert np.isin(experts_TK[asked], self.expert_ids).all(), "another shard's expert"
        return _sums(words_T, experts_TK)

    def work(self, layer: int, experts_TK: Ids) -> Work:
        return Work.of("experts", flops={"bf16": int((experts_TK >= 0).sum()) * PAIR_FLOPS})


def _sums(words_T: NDArray[np.uint64], experts_TK: Ids) -> NDArray[np.uint64]:
    factors = (2 * experts_TK + 3).astype(np.uint64) * (experts_TK >= 0)
    sums_T: NDArray[np.uint64] = words_T * factors.sum(axis=1, dtype=np.uint64)
    return sums_T


@dataclass(frozen=True, slots=True)
class Layer:
    """What one layer took, and the tokens that each shard computed (each for each of its experts),
    and rows that it was sent.
    """

    took_ns: int
    pairs: tuple[int, ...]
    rows: tuple[int, ...]

    @property
    def by_hand_ns(self) -> float:
        """Of the busiest shard, as above."""
        link, device = load_link("nvlink4"), load_device("h100-sxm")
        shard = max(range(NUM_SHARDS), key=lambda s: self.pairs[s])
        a_row = (8 + 4 + 8 * TOP_K + ROW_BYTES) + ROW_BYTES
        rate = device.compute["bf16"] * device.compute_efficiency
        return (
            2 * link.latency_ns
            + self.rows[shard] * a_row * 1e9 / link.bytes_per_s
            + device.launch_overhead_ns
            + self.pairs[shard] * PAIR_FLOPS * 1e9 / rate
        )


def popularity(exponent: float) -> NDArray[np.float64]:
    """Of each expert: Zipf, shuffled; 0 is uniform."""
    ranks = np.random.default_rng(7).permutation(NUM_EXPERTS) + 1.0
    return np.asarray(ranks**-exponent, dtype=np.float64)


def chosen(exponent: float, seed: int) -> Ids:
    """[chips x tokens, K] distinct experts: the largest of popularity times Gumbel noise."""
    noise = np.random.default_rng(seed).gumbel(size=(NUM_CHIPS * TOKENS, NUM_EXPERTS))
    keys = np.log(popularity(exponent)) + noise
    return np.argsort(-keys, axis=1)[:, :TOP_K].astype(np.int32)


def loads_of(experts_TK: Ids) -> list[float]:
    counted: list[float] = np.bincount(experts_TK.reshape(-1), minlength=NUM_EXPERTS).tolist()
    return counted


def contiguous() -> list[list[int]]:
    each = NUM_EXPERTS // NUM_SHARDS
    return [list(range(s * each, (s + 1) * each)) for s in range(NUM_SHARDS)]


def computed(placed: list[list[int]], experts_TK: Ids) -> Layer:
    """One layer in virtual time; checks every sum."""
    holders = {
        expert: tuple(name for name, held in zip(SHARDS, placed, strict=True) if expert in held)
        for expert in range(NUM_EXPERTS)
    }
    table, device = RoutingTable.of(holders, SHARDS), load_device("h100-sxm")
    links = dict.fromkeys((*CHIPS, *SHARDS), load_link("nvlink4"))

    async def job(bench: Bench) -> Layer:
        shards = []
        for name, held in zip(SHARDS, placed, strict=True):
            model: Any = _Experts(tuple(held))
            shards.append(ExpertShard(bench.nodes[name], name, model))
            bench.nodes[name].spawn(shards[-1].serve(), name)
        begin_ns = bench.clock.now()
        sides = [bench.nodes[chip].dispatch_side(chip) for chip in CHIPS]
        batches = [_tokens(i, experts_TK[i * TOKENS : (i + 1) * TOKENS]) for i in range(NUM_CHIPS)]
        away = [
            await side.dispatch_send(batch, table, SECOND_NS)
            for side, batch in zip(sides, batches, strict=True)
        ]
        for side, batch, one in zip(sides, batches, away, strict=True):
            sums_T = (await side.combine_receive(one)).sums_TH
            assert np.array_equal(sums_T, _sums(batch.hidden_TH, batch.experts_TK))
        pairs = tuple(sum(shard.counts.values()) for shard in shards)
        return Layer(bench.clock.now() - begin_ns, pairs, tuple(s.num_tokens for s in shards))

    return Bench(*links, links=links, device=device, numerics=digests(ROW_BYTES)).run(job)


def _tokens(chip: int, experts_TK: Ids) -> Tokens:
    positions_T = np.arange(TOKENS)
    return Tokens(
        0,
        f"r{chip}",
        np.full(TOKENS, request_number(f"r{chip}"), np.uint64),
        positions_T,
        (positions_T + 1 + 1_000 * chip).astype(np.uint64),
        experts_TK,
        np.ones(experts_TK.shape, np.float32),
    )


def rows() -> Iterator[Row]:
    even = computed(contiguous(), chosen(0.0, 2))
    yield _row("uniform loads: layer", even.took_ns / 1e3, "us", "shown", True)
    for exponent in (1.0, 1.5):
        before, now = chosen(exponent, 1), chosen(exponent, 2)
        placed = balance(loads_of(before), SLOTS, NUM_SHARDS)
        runs = {"one copy each": computed(contiguous(), now), "EPLB": computed(placed, now)}
        yield from _of(exponent, runs, even)


def _of(exponent: float, runs: Mapping[str, Layer], even: Layer) -> Iterator[Row]:
    skewed, eplb = runs["one copy each"], runs["EPLB"]
    for name, layer in runs.items():
        off = layer.took_ns / layer.by_hand_ns - 1
        yield _row(
            f"Zipf {exponent:g}, {name}: layer of {layer.took_ns / 1e3:,.0f} us beside hand "
            "arithmetic of its busiest shard",
            100 * off,
            "%",
            "-10 to 2 %",
            -0.10 <= off <= 0.02,
        )
    uneven, evened = imbalance(skewed.pairs), imbalance(eplb.pairs)
    name = f"Zipf {exponent:g}: largest over mean of tokens a shard"
    yield _row(f"{name}, one copy each", uneven, "", "shown", True)
    yield _row(f"{name}, EPLB of an earlier batch's loads", evened, "", "<= 1.1", evened <= 1.1)
    beside = eplb.took_ns / even.took_ns
    yield _row(
        f"Zipf {exponent:g}: layer with EPLB over one of uniform loads "
        f"({skewed.took_ns / even.took_ns:.2f} without)",
        beside,
        "",
        "<= 1.15",
        beside <= 1.15,
    )


def _row(name: str, value: float, unit: str, bar: str, holds: bool) -> Row:
    how = "projection: H100s and NVLink by their presets, virtual time"
    return Row(name, value, unit, bar, holds, how)
