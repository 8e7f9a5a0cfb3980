"""KV beside memory servers (`placement.kv_near`): a chip's half, and a server's."""

from typing import TYPE_CHECKING

from cluster.worlds.blueprint import Blueprint
from configs.fitting import rough
from configs.plan import MemoryPlan
from workers.model.parts.kv_form import KvForm
from workers.node import Node

if TYPE_CHECKING:
    from workers.chip.scheduler import Scheduler
    from workers.kv.far import FarKv
    from workers.model.base import ChipModel


def form_of(blueprint: Blueprint) -> KvForm:
    """How KV of this cluster's chips lies in blocks."""
    section = blueprint.scenario.model
    if section.numerics == "digest":
        from workers.model.digest.form import DigestForm

        return DigestForm(blueprint.model, section.precision, section.block_size)
    if section.numerics == "counts":
        from workers.model.counts.form import CountedForm

        return CountedForm(blueprint.model, section.precision, section.block_size)
    return KvForm(blueprint.model, section.precision, section.block_size)


def far_of(
    blueprint: Blueprint, node: Node, chip: str, model: "ChipModel", scheduler: "Scheduler"
) -> "FarKv | None":
    """Of a chip; None where all KV stays there."""
    from workers.kv.far import FarKv

    near = blueprint.scenario.placement.kv_near
    if near is None:
        return None
    return FarKv(
        node,
        node.port(chip),
        model,
        form_of(blueprint),
        scheduler,
        blueprint.plan.names("memory"),
        keep=near.keep,
        mode=near.mode,
        timeout_ns=blueprint.timeout_ns,
    )


def build_near(blueprint: Blueprint, node: Node, worker: MemoryPlan) -> None:
    """Beside a memory server, where it has room for such KV. Raises ValueError where this machine's
    own memory ends.
    """
    from workers.memory.near_attention import NearAttention

    if worker.near_blocks:
        sizes = worker.near_blocks, worker.pool_tier, worker.near_engine
        try:
            NearAttention(node, worker.name, form_of(blueprint), *sizes)
        except MemoryError as error:
            num_bytes = worker.near_blocks * blueprint.plan.kv_block_bytes
            raise ValueError(
                f"placement.kv_near.blocks: is {worker.near_blocks} ({rough(num_bytes)}) for each "
                "memory server, for which this machine's own memory ended: use fewer"
            ) from error
