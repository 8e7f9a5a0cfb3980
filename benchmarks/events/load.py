"""32 chips and 32 shards, 8 tokens an envelope, no arithmetic: the driver.

Each chip goes through layers as a step does: a launch, a dispatch to every shard, and their sums
combined; each shard is the loop of `workers/experts/expert_shard.py` with a kernel that computes
nothing. 32 tokens a chip with 8 experts each, spread so that every shard gets exactly 8 of them, in
rows of the shipped model's width.

    token t ──▶ shards t, t + 4, ... t + 28 (modulo 32)

An event is a dispatch that reached its shard or a combine that reached its chip, each counted where
it arrives. The trace must hold just these beside the launches: a repeated message would show.
"""

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.beside.stopwatch import Stopwatch, pin
from benchmarks.events.cluster import Chip, Cluster, Rows, Shard, Stand

NUM_CHIPS = NUM_SHARDS = 32
EXPERTS_PER_SHARD = 8  # 256 in all, as DeepSeek-V3 has
TOP_K = 8
TOKENS = 32  # of a chip's step
TOKENS_PER_ENVELOPE = TOKENS * TOP_K // NUM_SHARDS
HIDDEN = 128  # the shipped model's
WARM_LAYERS = 2  # round trips are learned, caches filled


@dataclass(slots=True)
class Count:
    """What arrived, and the launches beside it."""

    dispatches: int = 0
    combines: int = 0
    launches: int = 0

    @property
    def events(self) -> int:
        return self.dispatches + self.combines


def rows_of(chip: int) -> Rows:
    """The tokens of one chip's step."""
    tokens = np.arange(TOKENS)
    shards_TK = (tokens[:, None] + NUM_SHARDS // TOP_K * np.arange(TOP_K)) % NUM_SHARDS
    return Rows(
        requests_T=(chip * TOKENS + tokens).astype(np.uint64),
        positions_T=tokens.astype(np.int64),
        hidden_TH=np.ones((TOKENS, HIDDEN), dtype=np.float32),
        experts_TK=(shards_TK * EXPERTS_PER_SHARD + chip % EXPERTS_PER_SHARD).astype(np.int32),
        weights_TK=np.full((TOKENS, TOP_K), 1 / TOP_K, dtype=np.float32),
    )


async def step(chip: Chip, rows: Rows, layers: int, count: Count) -> None:
    """What a chip's step does, without its arithmetic."""
    # Each shard answers ones: a lost or doubled share shows in the merged sums.
    merged_TH = np.full((TOKENS, HIDDEN), float(TOP_K))
    for layer in range(layers):
        await chip.launch()
        count.launches += 1
        sums_TH = await chip.exchange(layer, rows)
        assert np.array_equal(sums_TH, merged_TH), f"layer {layer} lacks a share"
        count.combines += NUM_SHARDS


async def serve(shard: Shard, count: Count) -> None:
    sums_tH = np.ones((TOKENS_PER_ENVELOPE, HIDDEN))
    while True:
        batch = await shard.receive()
        await shard.launch()
        count.launches += 1
        count.dispatches += len(batch)
        await shard.answer(batch, sums_tH)


async def all_chips(cluster: Cluster, layers: int, count: Count) -> None:
    """A step of `layers` on every chip at once. Raises what any of them raised."""
    before = cluster.num_records() - count.events - count.launches
    steps = [
        chip.spawn(step(chip, rows_of(number), layers, count))
        for number, chip in enumerate(cluster.chips)
    ]
    for ended in steps:
        await ended
    # Launches of the last batches may have ended after their answers were taken, not before.
    recorded = cluster.num_records() - before
    assert recorded == count.events + count.launches, f"{recorded} records for {count}"


async def drive(cluster: Cluster, layers: int, stopwatch: Stopwatch) -> dict[str, Any]:
    """Warm up, then measure: events, and the trace's hash."""
    count = Count()
    for shard in cluster.shards:
        shard.spawn(serve(shard, count))
    await all_chips(cluster, WARM_LAYERS, count)
    warm = count.events
    with stopwatch:
        await all_chips(cluster, layers, count)
    assert count.dispatches == count.combines == NUM_CHIPS * NUM_SHARDS * (WARM_LAYERS + layers)
    return {"events": count.events - warm, "trace": cluster.digest()}


def measure(adapter: str, layers: int, profile: bool = False) -> dict[str, Any]:
    """What `drive` and the stopwatch say, on one core."""
    pin()
    stand: Stand = importlib.import_module(f"benchmarks.events.{adapter}").stand
    owners = [expert // EXPERTS_PER_SHARD for expert in range(NUM_SHARDS * EXPERTS_PER_SHARD)]
    stopwatch = Stopwatch(profile=profile)
    driven = stand(NUM_CHIPS, owners, lambda cluster: drive(cluster, layers, stopwatch))
    return {**driven, **stopwatch.result()}
