"""A chip's scheduler and blocks, as its plan says."""

from cluster.worlds.blueprint import Blueprint
from cluster.worlds.forms import content_salt
from configs.plan import ChipPlan
from workers.chip.scheduler import Scheduler
from workers.kv.blocks import BlockManager


def scheduler_of(blueprint: Blueprint, worker: ChipPlan) -> Scheduler:
    section = blueprint.scenario.model
    return Scheduler(
        BlockManager(
            worker.num_kv_blocks,
            worker.form.size,
            section.enable_prefix_caching,
            content_salt(blueprint, worker),
        ),
        max_num_seqs=section.max_num_seqs,
        max_num_batched_tokens=section.max_num_batched_tokens,
        max_model_len=blueprint.plan.max_model_len,
        watermark_blocks=worker.watermark_blocks,
    )
