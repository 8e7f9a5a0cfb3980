"""One step of a DeepSeek-V3's experts on every chip, message by message: what `wire_speed` times.

32 chips and 32 shards at one switch, by the real endpoint, exchange and hashed trace. A chip's 32
tokens go to 8 of 256 experts each, 8 experts a shard; rows are 128 wide instead of 7,168, so that
what is timed is messages and no copying of rows, and links are narrower in proportion.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from benchmarks.beside.pairs import Result, run_child
from benchmarks.beside.stopwatch import Stopwatch, pin
from benchmarks.beside.tree import ROOT
from benchmarks.events.cluster import LINK, Chip, Cluster, Rows, Shard
from benchmarks.events.load import EXPERTS_PER_SHARD, HIDDEN, NUM_CHIPS, NUM_SHARDS, TOKENS, TOP_K
from benchmarks.events.this_tree import stand
from cluster.network.build import Network
from cluster.network.switched import one_switch
from configs.schema import load_link
from configs.schema.device import Sharing
from configs.schema.network import NetworkSection
from workers.host.clock.virtual import VirtualClock
from workers.wire.fabric.fabric import Fabric

Routing = Literal["even", "uniform"]
NUM_EXPERTS = NUM_SHARDS * EXPERTS_PER_SHARD
WARM_LAYERS = 1
# 128 fp32 numbers a row are 512 B where 7,168 in fp8 are 7,168 B.
BYTES_PER_S = 450 * 10**9 * 512 // 7_168


class Envelopes:
    """Dispatches and combines that arrived."""

    def __init__(self) -> None:
        self.count = 0


def rows_of(chip: int, layer: int, routing: Routing) -> Rows:
    """even: 8 tokens for each shard; uniform: 8 of 256 experts for each token, by seed."""
    tokens = np.arange(TOKENS)
    if routing == "even":
        shards_TK = (tokens[:, None] + NUM_SHARDS // TOP_K * np.arange(TOP_K)) % NUM_SHARDS
        experts_TK = shards_TK * EXPERTS_PER_SHARD + chip % EXPERTS_PER_SHARD
    else:
        keys_TE = np.random.default_rng([chip, layer]).random((TOKENS, NUM_EXPERTS))
        experts_TK = np.argpartition(keys_TE, TOP_K, axis=1)[:, :TOP_K]
    return Rows(
        requests_T=(chip * TOKENS + tokens).astype(np.uint64),
        positions_T=tokens.astype(np.int64),
        hidden_TH=np.ones((TOKENS, HIDDEN), dtype=np.float32),
        experts_TK=experts_TK.astype(np.int32),
        weights_TK=np.full((TOKENS, TOP_K), 1 / TOP_K, dtype=np.float32),
    )


async def step(chip: Chip, rows: Sequence[Rows], envelopes: Envelopes) -> None:
    for layer, here in enumerate(rows):
        await chip.launch()
        sums_TH = await chip.exchange(layer, here)
        # Each shard answers ones for each token that it got.
        shards_TK = np.sort(here.experts_TK // EXPERTS_PER_SHARD, axis=1)
        num_shards_T = 1 + np.count_nonzero(np.diff(shards_TK, axis=1), axis=1)
        assert np.array_equal(sums_TH[:, 0], num_shards_T), f"layer {layer} lacks a share"
        envelopes.count += len(np.unique(shards_TK))


async def serve(shard: Shard, envelopes: Envelopes) -> None:
    while True:
        batch = await shard.receive()
        await shard.launch()
        envelopes.count += len(batch)
        for one in batch:
            await shard.answer([one], np.ones((len(one.content.request), HIDDEN)))


def measure(
    layers: int, sharing: Sharing, routing: Routing, fabric: bool, profile: bool
) -> dict[str, Any]:
    """Envelopes, CPU seconds of one core, and the trace's hash."""
    pin()
    stopwatch, envelopes = Stopwatch(profile=profile), Envelopes()
    section = NetworkSection(type="switch", sharing=sharing)

    def laid(clock: VirtualClock, names: Sequence[str]) -> Fabric:
        return Fabric(section, Network(section, one_switch(names, None)), clock)

    async def job(cluster: Cluster) -> dict[str, Any]:
        for shard in cluster.shards:
            shard.spawn(serve(shard, envelopes))
        for first, last in ((0, WARM_LAYERS), (WARM_LAYERS, WARM_LAYERS + layers)):
            rows = [
                [rows_of(chip, layer, routing) for layer in range(first, last)]
                for chip in range(NUM_CHIPS)
            ]
            envelopes.count = 0
            if first:
                stopwatch.__enter__()
            steps = [
                chip.spawn(step(chip, of, envelopes))
                for chip, of in zip(cluster.chips, rows, strict=True)
            ]
            for ended in steps:
                await ended
        stopwatch.__exit__(None, None, None)
        return {"events": envelopes.count, "trace": cluster.digest()}

    owners = [expert // EXPERTS_PER_SHARD for expert in range(NUM_EXPERTS)]
    link = load_link(LINK).model_copy(update={"bytes_per_s": BYTES_PER_S})
    driven = stand(NUM_CHIPS, owners, job, sharing, laid if fabric else None, link)
    return {**driven, **stopwatch.result()}


def in_a_child(**given: Any) -> Result:
    return run_child(ROOT, "benchmarks.network._step", {"profile": False, **given})
