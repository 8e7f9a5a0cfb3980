"""The chips and shards of a cluster as one object with vectors, where the plan says so."""

from dataclasses import dataclass
from itertools import accumulate

from cluster.worlds.blueprint import Blueprint
from cluster.worlds.digests import is_counted, sized_chip
from cluster.worlds.fold_terms import terms_of
from cluster.worlds.fold_values import counted_values, digest_values
from cluster.worlds.models import NodeModels
from configs.plan import ChipPlan, ShardPlan
from kernels.fold import make_engine
from workers.fold.costs import Costs
from workers.fold.fold import Fold, Member
from workers.fold.launches import Bench
from workers.fold.shards import FoldedShard, Shards
from workers.fold.values import Values
from workers.host.clock.virtual import VirtualClock
from workers.model.digest.cache import DigestCache
from workers.node import Node


@dataclass(slots=True)
class ClusterFold:
    """cache    KV blocks of all chips, in the order of the plan's; None where none has any content
    firsts    of each chip's, the first
    costs     of steps, by group and slowness of chips
    """

    blueprint: Blueprint
    fold: Fold
    cache: DigestCache | None
    firsts: dict[str, int]
    costs: dict[tuple[str, float], Costs]

    def member(self, node: Node, worker: ChipPlan, models: NodeModels) -> Member:
        """A chip's place, with its model."""
        plan, first = self.blueprint.plan.node(node.name), self.firsts[worker.name]
        cache = None if self.cache is None else self.cache.part(first, worker.num_block_ids)
        model = sized_chip(self.blueprint, worker, models.work(worker), cache)
        # Chips of one group ask for the same, and what is known of one need not be counted again.
        key = plan.group, plan.slow
        if key not in self.costs:
            self.costs[key] = Costs(model, Bench(plan.device, node.clock, plan.slow))
        return self.fold.join(node, model, self.costs[key], first)

    def stand_shard(self, node: Node, name: str) -> FoldedShard:
        """A shard, for whoever looks at it."""
        number = self.blueprint.plan.fold.shards.index(name)
        shards = self.fold.shards
        shards.shards[number] = node
        node.before_reading = shards.settle
        return FoldedShard(shards, number, name)


def make_fold(blueprint: Blueprint, clock: VirtualClock) -> ClusterFold:
    """Before any of its members stands; chips join in the order of the plan."""
    plan, model = blueprint.plan, blueprint.model
    chips = [worker for worker in plan.workers if isinstance(worker, ChipPlan)]
    shards = [worker for worker in plan.workers if isinstance(worker, ShardPlan)]
    exchanges = sum(not model.is_dense(layer) for layer in range(model.num_layers))
    owner = {e: number for number, shard in enumerate(shards) for e in shard.expert_ids}
    owners_E = [owner[e] for e in range(model.num_experts)] if exchanges else [0]
    terms, asks = terms_of(blueprint, clock, chips[0], shards)
    slow = [plan.node(shard.node).slow for shard in shards] or [1.0]
    engine = make_engine(len(chips), owners_E, terms, exchanges, slow, len(slow))
    firsts = list(accumulate((chip.num_block_ids for chip in chips), initial=0))
    values: Values
    cache: DigestCache | None = None
    if is_counted(blueprint):
        values = counted_values(blueprint, engine)
    else:
        work = NodeModels(blueprint, plan.node(chips[0].node)).work(chips[0])
        values, cache = digest_values(blueprint, chips[0], firsts[-1], work)
    tells = blueprint.scenario.cluster.fold_tells
    tells_each = tells == "step" or (tells == "auto" and cache is not None)
    told = Shards(clock, engine, asks, owners_E)
    fold = Fold(clock, engine, values, told, tells_each=tells_each)
    names = dict(zip((chip.name for chip in chips), firsts, strict=False))
    return ClusterFold(blueprint, fold, cache, names, {})
