"""A chip of several ranks on bare nodes: its leader's half of a step, and the others' loops."""

from collections.abc import Sequence as Items
from pathlib import Path

from configs.families import load_model
from configs.parts import Ranks, parts_of
from tests.workers.bench import Bench
from tests.workers.chip.ranks import NUM_BLOCKS, TIMEOUT_NS, items_of, sequences
from workers.chip.interpreter import Lane
from workers.chip.step import Step
from workers.experts.expert_shard import ExpertShard
from workers.experts.routing import RoutingTable
from workers.kv.blocks import BlockManager
from workers.kv.parts import KvParts
from workers.model.factory import open_rank
from workers.model.plain.expert_model import PlainExpertModel
from workers.parallel.leader import Leader
from workers.parallel.rank import Rank
from workers.parallel.running import Running
from workers.parallel.team import Team

SHARD = "shard"


def names_of(tensor: int, pipeline: int) -> tuple[str, ...]:
    return tuple(f"rank-{r}" for r in range(tensor * pipeline))


def bench_of(tensor: int, pipeline: int, **more: object) -> Bench:
    return Bench(*names_of(tensor, pipeline), SHARD, **more)  # type: ignore[arg-type]


class Crew:
    """All ranks of a chip over one shard that holds every expert."""

    def __init__(self, bench: Bench, folder: Path, tensor: int, pipeline: int) -> None:
        config = load_model(folder)
        names = names_of(tensor, pipeline)
        self.ranks = Ranks(tensor, names, parts_of(config, tensor, pipeline))
        experts = tuple(range(config.num_experts))
        table = RoutingTable.of(dict.fromkeys(experts, SHARD), (SHARD,))
        shard = ExpertShard(bench.nodes[SHARD], SHARD, PlainExpertModel(folder, experts))
        bench.nodes[SHARD].spawn(shard.serve(), SHARD)
        self.clock, self.others = bench.clock, dict[str, Rank]()
        for number, name in enumerate(names):
            node, port = bench.nodes[name], bench.port(name)
            model = open_rank(folder, self.ranks.parts[number], NUM_BLOCKS)
            team = Team(node, port, self.ranks, number, TIMEOUT_NS)
            running = Running(node, model, node.dispatch_side(name), table, team)
            if number == self.ranks.leader:
                blocks = BlockManager(NUM_BLOCKS, model.block_size)
                self.model, self.leader = model, Leader(team, running, blocks)
                continue
            parts = {"chip": self.ranks}
            kv = KvParts(node, port, model, self.ranks.parts[number], parts, TIMEOUT_NS, team)
            self.others[name] = Rank(node, model, team, running, kv)
            node.spawn(self.others[name].serve(), name)

    async def step(self, prompts: Items[Items[int]]) -> tuple[list[Lane], int]:
        """A first step of these prompts, and how long the leader took for it."""
        items, begun_ns = items_of(sequences(prompts)), self.clock.now()
        lanes, _ = await self.leader.run(Step(tuple(items), (), sum(i.count for i in items)))
        return lanes, self.clock.now() - begun_ns
