"""Models without weights (`model.numerics: digest` and `counts`), and how experts are chosen."""

from dataclasses import replace

from cluster.worlds.blueprint import Blueprint
from configs.model_config import ModelConfig
from configs.plan import ChipPlan, PartPlan, ShardPlan
from configs.precision import Precision
from workers.model.counts.chip_model import CountsChip, CountsRank
from workers.model.counts.expert_model import CountedExperts
from workers.model.digest.cache import DigestCache
from workers.model.digest.chip_model import DigestChip
from workers.model.digest.expert_model import DigestExperts
from workers.model.digest.mixing import Digests
from workers.model.digest.rank import DigestRank
from workers.model.digest.recorded import read_routing
from workers.model.digest.routing import Balanced, Replayed, Routing, Skewed, Uniform
from workers.model.digest.shape import span_of
from workers.model.digest.shipped import ShippedDigests
from workers.model.digest.slices import DigestSlice
from workers.model.work import WorkModel


def sized_chip(
    blueprint: Blueprint, worker: ChipPlan, work: WorkModel, cache: DigestCache | None = None
) -> DigestChip | CountsChip:
    """`cache`: where digests of its keys lie, if not in one of its own. Raises ValueError where
    this machine has not the memory.
    """
    sizes = _sizes(blueprint, worker, work)
    if is_counted(blueprint):
        return CountsChip(*sizes)
    return DigestChip(*sizes, cache=cache, span=span_of(blueprint.plan.span_tokens))


def sized_rank(blueprint: Blueprint, worker: PartPlan, work: WorkModel) -> DigestRank | CountsRank:
    """What a rank of a chip holds. Raises as `sized_chip` does."""
    sizes, part = _sizes(blueprint, worker, work), blueprint.plan.part(worker)
    if is_counted(blueprint):
        return CountsRank(*sizes, part)
    rank = DigestSlice if part.slices > 1 else DigestRank
    return rank(*sizes, part, span_of(blueprint.plan.span_tokens))


def is_counted(blueprint: Blueprint) -> bool:
    """Whether nothing is computed."""
    return blueprint.scenario.model.numerics == "counts"


def _sizes(
    blueprint: Blueprint, worker: PartPlan, work: WorkModel
) -> tuple[ModelConfig, int, int, Precision, WorkModel, Routing]:
    precision = replace(blueprint.scenario.model.precision, kv=worker.form.numbers)
    numbers = worker.form.size, precision
    return blueprint.model, worker.num_block_ids, *numbers, work, routing_of(blueprint)


def sized_experts(
    blueprint: Blueprint, worker: ShardPlan, work: WorkModel
) -> DigestExperts | CountedExperts:
    """What a shard computes with."""
    if is_counted(blueprint):
        return CountedExperts(blueprint.model, worker.expert_ids, work)
    return _digests(blueprint, worker, work)


def _digests(blueprint: Blueprint, worker: ShardPlan, work: WorkModel) -> DigestExperts:
    """Whether experts are alike is known without what a chip knows of routing."""
    alike = blueprint.scenario.model.routing.balanced is not None
    return DigestExperts(blueprint.model, worker.expert_ids, work, alike=alike)


def shipped_digests(
    blueprint: Blueprint, worker: ShardPlan
) -> tuple[ShippedDigests, dict[tuple[int, int], Digests]]:
    """Sizes of experts, and (layer, expert) -> what is shipped of a shard's."""
    model = blueprint.model
    experts = _digests(blueprint, worker, WorkModel(model))
    sizes = ShippedDigests(model, blueprint.scenario.model.precision)
    return sizes, experts.by_expert()


def routing_of(blueprint: Blueprint) -> Routing:
    """As `model.routing` says. Raises CheckpointError where a recorded run does not fit."""
    section, model = blueprint.scenario.model.routing, blueprint.model
    sizes = blueprint.scenario.seed, model.num_experts, model.top_k
    if section.replay is not None:
        table = read_routing(section.replay).fitting(model)
        return Replayed(blueprint.scenario.seed, table, model.dense_layers)
    if section.balanced is not None:
        return Balanced(*sizes)
    if section.zipf is not None:
        return Skewed(*sizes, zipf=section.zipf)
    if section.lognormal is not None:
        return Skewed(*sizes, lognormal=section.lognormal)
    if section.bursty is not None:
        return Skewed(*sizes, zipf=section.bursty.zipf, stretch=section.bursty.stretch)
    return Uniform(*sizes)
