"""Expert prefetch as the plan says: a chip's half and a shard's."""

from typing import TYPE_CHECKING

from cluster.worlds.blueprint import Blueprint
from configs.plan import ChipPlan, ShardPlan
from workers.node import Node

if TYPE_CHECKING:
    from workers.experts.hints import HintSide
    from workers.experts.prefetch import Prefetch


def hints_of(blueprint: Blueprint, node: Node, worker: ChipPlan) -> "HintSide | None":
    """None where no shard reads ahead: without emulation no tier is slow."""
    scenario = blueprint.scenario
    if not scenario.placement.experts_prefetch or not scenario.cluster.emulation:
        return None
    from workers.experts.hints import HintSide
    from workers.model.pregate import Pregate

    pregate = Pregate(blueprint.folder, worker.tier)
    return HintSide(node, node.port(worker.name), pregate, blueprint.timeout_ns)


def prefetch_of(blueprint: Blueprint, worker: ShardPlan) -> "Prefetch | None":
    """None where the shard reads nothing ahead."""
    if not worker.prefetch_bytes or not blueprint.scenario.cluster.emulation:
        return None
    from workers.experts.prefetch import Buffer, Prefetch, PrefetchCounts

    expert_bytes = blueprint.scenario.model.precision.expert_bytes(blueprint.model)
    counts = PrefetchCounts()
    buffers = {
        tier: Buffer(num_bytes, expert_bytes, counts)
        for tier, num_bytes in worker.prefetch_bytes.items()
    }
    tiers = worker.tier_by_expert.items()
    return Prefetch({e: buffers[tier] for e, tier in tiers if tier in buffers}, counts)
