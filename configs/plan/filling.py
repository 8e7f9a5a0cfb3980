"""What is put into a node: its workers' shares of its memory."""

import math
from collections.abc import Mapping

from configs.activations import chip_activation_bytes, shard_activation_bytes
from configs.fitting import Fit, fit_node
from configs.model_config import ModelConfig
from configs.plan.nodes import ChipPlan, MemoryPlan, NodePlan, ShardPlan, WorkerPlan
from configs.plan.sites import Site
from configs.schema import CHIP_ROLES, Role, Scenario
from configs.schema.model import ModelSection

# Of a chip's KV blocks, as in vLLM (`watermark` of its block manager); at least one block, since
# ours may be few.
WATERMARK_SHARE = 0.01


def fill_site(
    site: Site,
    scenario: Scenario,
    config: ModelConfig,
    placed: Mapping[str, tuple[int, ...]],
    servers: tuple[str, ...],
    kv_block_bytes: int,
    max_model_len: int,
) -> tuple[NodePlan, list[str]]:
    """A node with its workers' shares of its memory."""
    device, precision = site.group.device, scenario.model.precision
    chip_bytes = precision.chip_bytes(config)
    shards = [name for name, role in site.workers if role == "experts"]
    held = {name: tuple(sorted(placed.get(name, ()))) for name in shards}
    fit = fit_node(
        key=f"cluster.nodes.{site.group_name}",
        device=device,
        model=scenario.model,
        kv_tier=scenario.placement.kv_tier,
        experts_tier=scenario.placement.experts_tier,
        chip_bytes=chip_bytes,
        chips=tuple(name for name, role in site.workers if role in CHIP_ROLES),
        shards={name: precision.shard_bytes(config, len(ids)) for name, ids in held.items()},
        activation_bytes=_activation_bytes(site, scenario.model, config, held),
        kv_block_bytes=kv_block_bytes,
        max_model_len=max_model_len,
        has_pool=scenario.placement.kv_pool and any(r == "memory" for _, r in site.workers),
    )
    workers: list[WorkerPlan] = []
    for name, role in site.workers:
        if role in CHIP_ROLES:
            reserve = scenario.placement.reserve
            workers.append(_chip(name, role, site, fit, chip_bytes, kv_block_bytes, reserve))
        elif role == "experts":
            size = precision.shard_bytes(config, len(held[name]))
            workers.append(ShardPlan(name, role, site.name, fit.experts_tier, size, held[name]))
        elif role == "memory":
            stores = tuple(scenario.placement.collections)
            workers.append(_memory(name, site, fit, servers, stores))
        else:
            workers.append(WorkerPlan(name, role, site.name))
    node = NodePlan(site.name, site.group_name, device, site.group.link, tuple(workers), fit.fills)
    return node, list(fit.problems)


def _activation_bytes(
    site: Site, model: ModelSection, config: ModelConfig, held: Mapping[str, tuple[int, ...]]
) -> int:
    """Of all chips and shards of a node."""
    num_bytes, tokens = 0, model.max_num_batched_tokens
    for name, role in site.workers:
        if role in CHIP_ROLES:
            needed = chip_activation_bytes(config, model.precision, tokens, model.max_num_seqs)
        elif role == "experts":
            needed = shard_activation_bytes(config, model.precision, tokens, len(held[name]))
        else:
            continue
        stated = model.activation_memory_bytes
        num_bytes += needed if stated is None else stated
    return num_bytes


def _chip(
    name: str,
    role: Role,
    site: Site,
    fit: Fit,
    weights_bytes: int,
    kv_block_bytes: int,
    reserve: str,
) -> ChipPlan:
    watermark_blocks = math.ceil(WATERMARK_SHARE * fit.num_kv_blocks)
    return ChipPlan(
        name,
        role,
        site.name,
        tier=site.group.device.default_tier,
        kv_tier=fit.kv_tier,
        weights_bytes=weights_bytes,
        num_kv_blocks=fit.num_kv_blocks,
        kv_bytes=fit.num_kv_blocks * kv_block_bytes,
        watermark_blocks=watermark_blocks if reserve == "watermark" else None,
    )


def _memory(
    name: str, site: Site, fit: Fit, servers: tuple[str, ...], stores: tuple[str, ...]
) -> MemoryPlan:
    return MemoryPlan(
        name,
        "memory",
        site.name,
        index=servers.index(name),
        num_servers=len(servers),
        collections=stores,
        collection_tier=site.group.device.default_tier,
        pool_tier=fit.pool_tier,
        pool_bytes=fit.pool_bytes,
    )
