"""The chips and shards of a cluster as one object with vectors, where the plan says so."""

from dataclasses import dataclass, replace

import numpy as np

from cluster.worlds.blueprint import Blueprint
from cluster.worlds.digests import sized_chip
from cluster.worlds.models import NodeModels
from cluster.worlds.numerics import wire_numerics
from configs.plan import ChipPlan, ShardPlan
from configs.schema import LinkSpec
from kernels.fold import Link, Size, Term, Terms, make_engine
from workers.fold.costs import Costs
from workers.fold.fold import Fold, Member
from workers.fold.launches import Bench
from workers.fold.shards import Asks, FoldedShard, Shards
from workers.fold.values import DigestValues
from workers.hardware.work import Work
from workers.host.clock.virtual import VirtualClock
from workers.model.digest.cache import DigestCache
from workers.model.digest.chip_model import DigestChip
from workers.model.digest.expert_model import DigestExperts
from workers.node import Node
from workers.wire.kinds.experts import Combine, Dispatch


@dataclass(slots=True)
class ClusterFold:
    """cache   KV blocks of all chips, in the order of the plan's"""

    blueprint: Blueprint
    fold: Fold
    cache: DigestCache
    firsts: dict[str, int]
    benches: dict[tuple[str, float], Bench]

    def member(self, node: Node, worker: ChipPlan, models: NodeModels) -> Member:
        """A chip's place, with its model."""
        plan, first = self.blueprint.plan.node(node.name), self.firsts[worker.name]
        cache = self.cache.part(first, worker.num_kv_blocks)
        model = sized_chip(self.blueprint, worker, models.work(worker), cache)
        assert isinstance(model, DigestChip), "the plan folds digests alone"
        # Chips of one group ask for the same, and a launch that is known need not be measured.
        key = plan.group, plan.slow
        if key not in self.benches:
            self.benches[key] = Bench(plan.device, node.clock, plan.slow)
        return self.fold.join(node, model, Costs(model, self.benches[key]), first)

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
    terms, asks = _terms(blueprint, clock, chips[0], shards)
    slow = [plan.node(shard.node).slow for shard in shards] or [1.0]
    engine = make_engine(len(chips), owners_E, terms, exchanges, slow, len(slow))
    sizes = [chip.num_kv_blocks for chip in chips]
    firsts = np.cumsum([0, *sizes]).tolist()
    work = NodeModels(blueprint, plan.node(chips[0].node)).work(chips[0])
    whole_plan = replace(chips[0], num_kv_blocks=firsts[-1])
    whole = sized_chip(blueprint, whole_plan, work)
    assert isinstance(whole, DigestChip), "the plan folds digests alone"
    routing = blueprint.scenario.model.routing
    experts = DigestExperts(
        model, tuple(range(model.num_experts)), work, alike=routing.balanced is not None
    )
    values = DigestValues(whole, experts, alone=routing.balanced is not None)
    fold = Fold(clock, engine, values, Shards(clock, engine, asks, owners_E))
    names = dict(zip((chip.name for chip in chips), firsts, strict=False))
    return ClusterFold(blueprint, fold, whole.cache, names, {})


def _link(link: LinkSpec) -> Link:
    return Link(link.bytes_per_s, link.latency_ns, link.startup_ns)


def _sizes(blueprint: Blueprint) -> tuple[Size, Size]:
    """Of dispatches and combines, as their kinds are charged."""
    numerics, top_k = wire_numerics(blueprint), max(1, blueprint.model.top_k)

    def dispatch(rows: int) -> int:
        numbers, row = np.zeros(rows, np.uint64), numerics.sent(np.zeros(rows, np.uint64))
        experts, weights = np.zeros((rows, top_k), np.int32), np.zeros((rows, top_k), np.float32)
        content = Dispatch(0, numbers, numbers.astype(np.int64), experts, weights, row)
        return content.wire_bytes(numerics)

    def combine(rows: int) -> int:
        return Combine(np.zeros(rows, dtype=np.uint64)).wire_bytes(numerics)

    one, other = (Size(2 * of(1) - of(2), of(2) - of(1)) for of in (dispatch, combine))
    return one, other


def _terms(
    blueprint: Blueprint, clock: VirtualClock, chip: ChipPlan, shards: list[ShardPlan]
) -> tuple[Terms, Asks]:
    """What messages and shards' launches cost: as their kinds and their work say."""
    plan, (dispatch, combine) = blueprint.plan, _sizes(blueprint)
    link = _link(plan.node(chip.node).link)
    if not shards:  # no layer has experts: nobody is asked
        return Terms(link, link, dispatch, combine, reads_ns=(0, 0)), Asks(dispatch, combine)
    shard, node = shards[0], plan.node(shards[0].node)
    bench, overhead_ns = Bench(node.device, clock), node.device.launch_overhead_ns
    one = np.array([shard.expert_ids[:1]], dtype=np.int32)
    work = NodeModels(blueprint, node).work(shard).experts(one, shard.expert_ids)
    compute, read = work.demands
    most = max(len(held.expert_ids) for held in shards)
    reads = [
        bench.launch(Work("experts", (read._replace(amount=read.amount * n),)))
        for n in range(most + 1)
    ]
    terms = Terms(
        link,
        _link(node.link),
        dispatch,
        combine,
        overhead_ns,
        tuple(measure.took_ns - overhead_ns for measure in reads),
        (Term("choices", compute.amount, float(bench.rate(compute.resource))),),
    )
    asked = reads[1].resources[read.resource]
    latency_ns = asked.taken_ns - asked.busy_ns
    return terms, Asks(
        dispatch, combine, compute.resource, compute.amount, read.resource, read.amount, latency_ns
    )
