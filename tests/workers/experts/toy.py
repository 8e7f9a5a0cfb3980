"""A toy layer of experts on shards of a bench, and chips that ask them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.workers.bench import Bench
from workers.experts.exchange import Away, DispatchHandle, DispatchSide
from workers.experts.expert_shard import ExpertShard
from workers.experts.routing import RoutingTable
from workers.experts.tokens import Combined, Tokens, request_number
from workers.hardware.work import Work

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


def cluster(
    owner: list[int], chips: tuple[str, ...] = ("chip",), **options: Any
) -> tuple[Bench, dict]:
    """Chips, and as many shards as `owner` (expert -> shard) names; options are the bench's."""
    shards = tuple(f"shard-{i}" for i in range(max(owner) + 1))
    bench = Bench(*chips, *shards, **options)
    models: dict[str, Experts] = {}
    for index, shard in enumerate(shards):
        models[shard] = Experts(tuple(e for e, s in enumerate(owner) if s == index))
        worker = ExpertShard(bench.nodes[shard], shard, models[shard])  # type: ignore[arg-type]
        bench.nodes[shard].worker = worker  # type: ignore[attr-defined]
    return bench, models


def table(owner: list[int], version: int = 0) -> RoutingTable:
    shards = tuple(f"shard-{i}" for i in range(max(owner) + 1))
    return RoutingTable.of({e: shards[s] for e, s in enumerate(owner)}, shards, version)


class Side:
    """A chip's half of the exchange with one table."""

    def __init__(self, bench: Bench, owner: list[int], chip: str = "chip") -> None:
        self.exchange: DispatchSide = bench.node(chip).dispatch_side(chip)
        self.table = table(owner)

    async def dispatch_send(self, batch: Tokens, timeout_ns: int) -> DispatchHandle:
        handle = await self.exchange.dispatch_send(batch, self.table, timeout_ns)
        assert isinstance(handle, DispatchHandle)
        return handle

    async def combine(self, handle: Away) -> Combined:
        return await self.exchange.combine_receive(handle)

    async def combine_receive(self, handle: DispatchHandle) -> NDArray:
        """Where nobody may be missing."""
        combined = await self.combine(handle)
        assert not combined.missing
        return combined.sums_TH


def side(bench: Bench, owner: list[int], chip: str = "chip") -> Side:
    return Side(bench, owner, chip)


def serve(bench: Bench, *, but: str = "") -> None:
    for name, node in bench.nodes.items():
        if name.startswith("shard") and name != but:
            node.spawn(node.worker.serve(), name)  # type: ignore[attr-defined]


def dense(batch: Tokens) -> NDArray:
    return Experts().forward(batch.layer, batch.hidden_TH, batch.experts_TK, batch.weights_TK)
