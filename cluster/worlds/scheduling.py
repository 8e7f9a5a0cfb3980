"""A chip's scheduler and blocks, as its plan says."""

from cluster.worlds.blueprint import Blueprint
from cluster.worlds.forms import content_salt
from configs.plan import ChipPlan
from workers.chip.scheduler import Scheduler
from workers.kv.blocks import BlockManager
from workers.kv.windowed import WindowedBlocks


def scheduler_of(blueprint: Blueprint, worker: ChipPlan) -> Scheduler:
    section = blueprint.scenario.model
    return Scheduler(
        _blocks(blueprint, worker),
        max_num_seqs=section.max_num_seqs,
        max_num_batched_tokens=section.max_num_batched_tokens,
        max_model_len=blueprint.plan.max_model_len,
        watermark_blocks=worker.watermark_blocks,
        max_steps=blueprint.plan.ranks[worker.name].num_stages,
        holds_slots=blueprint.model.has_states,
    )


def _blocks(blueprint: Blueprint, worker: ChipPlan) -> BlockManager:
    caches = blueprint.scenario.model.enable_prefix_caching
    sizes = worker.num_kv_blocks, worker.form.size, caches, content_salt(blueprint, worker)
    if worker.sliding is None:
        return BlockManager(*sizes)
    return WindowedBlocks(*sizes, sliding=worker.sliding, num_ids=worker.num_block_ids)
