"""Where experts are computed: by the shards that hold them, or by the chips to which they ship
them.
"""

from typing import TYPE_CHECKING

from cluster.worlds.blueprint import Blueprint
from cluster.worlds.models import NodeModels
from cluster.worlds.switches import by_switch
from configs.plan import ChipPlan, ShardPlan
from workers.node import Node

if TYPE_CHECKING:
    from cluster.worlds.folding import ClusterFold
    from workers.experts.exchange import DispatchSide
    from workers.experts.expert_shard import ExpertShard
    from workers.experts.late import Lateness
    from workers.experts.patience import Patience
    from workers.experts.stand_ins import StandIns
    from workers.fold.shards import FoldedShard


def exchange_of(node: Node, blueprint: Blueprint, worker: ChipPlan) -> "DispatchSide":
    """A chip's way to its experts. Raises NoKernels."""
    if blueprint.scenario.placement.experts.mode == "near":
        is_split = blueprint.plan.ranks[worker.name].is_split  # then its ranks ask, each its part
        by = None if is_split else by_switch(blueprint, worker)
        stand_ins, patience = stand_ins_of(node, blueprint), patience_of(blueprint)
        return node.dispatch_side(worker.name, by, stand_ins, patience)
    from workers.experts.fetching import FetchingSide
    from workers.model.shipped_experts import ExpertSizes, check_kernels

    section = blueprint.scenario.model
    sizes_of = ExpertSizes
    if section.numerics != "real":
        from workers.model.digest.shipped import ShippedDigests

        sizes_of = ShippedDigests
    else:
        check_kernels(section.precision)
    sizes = sizes_of(blueprint.model, section.precision, worker.activations_tier)
    return FetchingSide(node, worker.name, sizes)


def late_of(blueprint: Blueprint) -> "Lateness | None":
    """When a shard is late, and what then."""
    from workers.experts.late import Lateness

    experts = blueprint.scenario.placement.experts
    if experts.timeout_ns is None:
        return None
    return Lateness(experts.timeout_ns, experts.on_timeout == "replace")


def patience_of(blueprint: Blueprint) -> "Patience":
    """How long a shard is waited for that has a spare or copies. Of a fold nobody falls silent."""
    from workers.experts.patience import Patience

    cluster = blueprint.scenario.cluster
    silence_ns = None if blueprint.plan.fold.chips else cluster.silence_ns
    return Patience(silence_ns, cluster.hedge)


def stand_ins_of(node: Node, blueprint: Blueprint) -> "StandIns":
    """Who answers for shards that are gone, as one node knows it."""
    from workers.experts.stand_ins import StandIns

    return StandIns(node.members, blueprint.plan.spares)


def stand_shard(
    node: Node,
    blueprint: Blueprint,
    worker: ShardPlan,
    models: NodeModels,
    fold: "ClusterFold | None" = None,
) -> "ExpertShard | FoldedShard | None":
    """A shard serves from now on; None: it ships weights, and computes nothing.

    Raises CheckpointError where the folder does not fit.
    """
    if fold is not None:
        return fold.stand_shard(node, worker.name)
    if blueprint.scenario.placement.experts.mode == "near":
        from cluster.worlds.prefetching import prefetch_of
        from workers.experts.expert_shard import ExpertShard

        prefetch = prefetch_of(blueprint, worker)
        shard = ExpertShard(node, worker.name, models.experts(worker), prefetch)
        node.spawn(shard.serve(), worker.name)
        return shard
    from workers.experts.weight_shard import WeightShard

    if blueprint.scenario.model.numerics != "real":
        from cluster.worlds.digests import shipped_digests

        WeightShard(node, worker.name, *shipped_digests(blueprint, worker), worker.tier_by_expert)
        return None
    from workers.model.shipped_experts import ExpertSizes, read_flat

    config, weights = read_flat(blueprint.folder, worker.expert_ids)
    sizes = ExpertSizes(config, blueprint.scenario.model.precision)
    WeightShard(node, worker.name, sizes, weights, worker.tier_by_expert)
    return None
