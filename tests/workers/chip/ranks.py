"""A small model over several nodes in virtual time: experts on shards, and in-process ways between
tensor-parallel ranks and pipeline stages.
"""

import asyncio
from collections.abc import Sequence as Items
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from tests.workers.bench import Bench
from workers.chip.batch import Batch
from workers.chip.interpreter import Interpreter
from workers.chip.scheduler import Item
from workers.chip.sequence import Sequence
from workers.experts.expert_shard import ExpertShard
from workers.experts.routing import RoutingTable
from workers.model.numerics import EXACT_NUMERICS, total
from workers.model.plain.expert_model import PlainExpertModel
from workers.node import Node

BLOCKS_EACH = 8
NUM_BLOCKS = 64
TIMEOUT_NS = 10**9
OWNERS = {0: "shard-0", 1: "shard-1", 2: "shard-0", 3: "shard-1"}
TABLE = RoutingTable.of(OWNERS, ("shard-0", "shard-1"))


def serve_experts(bench: Bench, folder: Path) -> None:
    for name in TABLE.shards:
        held = tuple(e for e, shard in OWNERS.items() if shard == name)
        shard = ExpertShard(bench.nodes[name], name, PlainExpertModel(folder, held))
        bench.nodes[name].spawn(shard.serve(), name)


def sequences(prompts: Items[Items[int]]) -> list[Sequence]:
    """Each with blocks of its own."""
    made = [Sequence(f"s{i}", ids, 100) for i, ids in enumerate(prompts)]
    for i, seq in enumerate(made):
        seq.block_ids = list(range(i * BLOCKS_EACH, (i + 1) * BLOCKS_EACH))
    return made


def items_of(seqs: Items[Sequence]) -> list[Item]:
    """All that is left to compute of each."""
    return [Item(s, s.num_computed, s.num_tokens - s.num_computed, True) for s in seqs]


def take(batches: Items[Batch], logits: Items[NDArray[Any]]) -> None:
    """The greedy token of each sequence joins it."""
    for batch, logits_RV in zip(batches, logits, strict=True):
        for item, row_V in zip(batch.items, logits_RV, strict=True):
            item.seq.num_computed = item.seq.num_tokens
            item.seq.token_ids.append(int(row_V.argmax()))


def interpreter(node: Node, **ways: Any) -> Interpreter:
    exchange = node.dispatch_side(node.name)
    return Interpreter(node, exchange, TIMEOUT_NS, **ways)


class Group:
    """Sums over `size` ranks: the last share of a round answers all."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.rounds: list[dict[int, NDArray[Any]]] = []
        self.answers: list[asyncio.Future[NDArray[Any]]] = []

    def put(self, rank: int, number: int, partial: NDArray[Any]) -> "asyncio.Future[NDArray[Any]]":
        if number == len(self.rounds):
            self.rounds.append({})
            self.answers.append(asyncio.get_running_loop().create_future())
        shares = self.rounds[number]
        shares[rank] = partial
        if len(shares) == self.size:
            sums = total(EXACT_NUMERICS, [shares[r] for r in range(self.size)])
            self.answers[number].set_result(sums)
        return self.answers[number]


class RankReducer:
    """One rank's `Reducer`."""

    def __init__(self, group: Group, rank: int) -> None:
        self.group, self.rank, self.sent = group, rank, 0

    async def send(self, batch: Batch, partial: NDArray[Any]) -> "Share":
        self.sent += 1
        return Share(self.group.put(self.rank, self.sent - 1, partial))


@dataclass
class Share:
    answer: "asyncio.Future[NDArray[Any]]"

    async def receive(self) -> NDArray[Any]:
        return await self.answer

    def abandon(self) -> None: ...
