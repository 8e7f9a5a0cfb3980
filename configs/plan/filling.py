"""What is put into a node: its workers' shares of its memory."""

from collections.abc import Mapping

from configs.activations import chip_activation_bytes, shard_activation_bytes
from configs.engines import engine_for
from configs.fitting import Fit, fit_node
from configs.model_config import ModelConfig
from configs.parts import Part
from configs.plan.chips import block_bytes, chip_plan
from configs.plan.flash_files import problems_of_files
from configs.plan.near import near_blocks, near_engine, near_engine_problems
from configs.plan.nodes import MemoryPlan, NodePlan, ShardPlan, WorkerPlan
from configs.plan.sites import SHARD_ROLES, PlanRole, Site
from configs.prefetch import prefetch_bytes
from configs.schema import CHIP_ROLES, Scenario
from configs.schema.model import ModelSection
from configs.schema.nodes import RANK
from configs.schema.placement import What
from configs.tiers import Tiers, tiers_of

_CHIPS = (*CHIP_ROLES, RANK)


def fill_site(
    site: Site,
    scenario: Scenario,
    config: ModelConfig,
    placed: Mapping[str, tuple[int, ...]],
    servers: tuple[str, ...],
    part: Part,
    max_model_len: int,
) -> tuple[NodePlan, list[str]]:
    """A node with its workers' shares of its memory. `part` of the model is what its chips hold;
    `config` has the sizes of that.
    """
    kv_block_bytes = block_bytes(scenario, config, part.slices)
    shards = [name for name, role in site.workers if role in SHARD_ROLES]
    held = {name: tuple(sorted(placed.get(name, ()))) for name in shards}
    num_chips = sum(role in _CHIPS for _, role in site.workers)
    sizes = _sizes(site, scenario, config, part, held, num_chips)
    has_pool = scenario.placement.pools and any(r == "memory" for _, r in site.workers)
    key, device = f"cluster.nodes.{site.group_name}", site.group.device
    wanted = _wanted(site, sizes, num_chips, has_pool)
    tiers = tiers_of(key, device, scenario.placement, site.group.tiers, wanted)
    fit = fit_node(
        key=key,
        device=device,
        model=scenario.model,
        tiers=tiers,
        held=sizes,
        num_chips=num_chips,
        kv_block_bytes=kv_block_bytes,
        max_model_len=max_model_len,
        has_pool=has_pool,
        near_blocks=near_blocks(scenario) * sum(role == "memory" for _, role in site.workers),
        states_bytes=scenario.model.max_num_seqs * scenario.model.precision.state_bytes(config),
    )
    ahead, wrong = _prefetch(key, site, scenario, tiers, len(held), num_chips)
    weights = (sizes["weights"] + sizes["embeddings"]) // max(1, num_chips)
    sizes_of_chips = weights, max_model_len, kv_block_bytes
    workers = _workers(site, scenario, config, tiers, fit, held, ahead, servers, sizes_of_chips)
    link, slow = site.group.link, site.slow
    node = NodePlan(site.name, site.group_name, device, link, workers, fit.fills, slow)
    wrong += problems_of_files(key, device, tiers, has_pool, kv_block_bytes)
    wrong += near_engine_problems(scenario, config, key, site.group, tiers["pool"])
    return node, [*fit.problems, *wrong]


def _workers(
    site: Site,
    scenario: Scenario,
    config: ModelConfig,
    tiers: Tiers,
    fit: Fit,
    held: Mapping[str, tuple[int, ...]],
    ahead: Mapping[str, int],
    servers: tuple[str, ...],
    sizes_of_chips: tuple[int, int, int],
) -> tuple[WorkerPlan, ...]:
    """`sizes_of_chips`: bytes of each one's weights, the longest prompt plus answer, and bytes of a
    KV block.
    """
    workers: list[WorkerPlan] = []
    for name, role in site.workers:
        if role in _CHIPS:
            what = site, scenario, config, tiers, fit, *sizes_of_chips
            workers.append(chip_plan(name, role, *what))
        elif role in SHARD_ROLES:
            workers.append(_shard(name, role, site, scenario, config, tiers, held[name], ahead))
        elif role == "memory":
            workers.append(_memory(name, site, scenario, config, tiers, fit, servers))
        else:
            workers.append(WorkerPlan(name, role, site.name))
    return tuple(workers)


def _prefetch(
    key: str, site: Site, scenario: Scenario, tiers: Tiers, num_shards: int, num_chips: int
) -> tuple[Mapping[str, int], list[str]]:
    if not scenario.placement.experts_prefetch or not num_shards:
        return {}, []
    return prefetch_bytes(
        key, site.group.device, tiers, num_shards=num_shards, num_chips=num_chips,
        has_hot=bool(scenario.placement.hot_experts),
    )  # fmt: skip


def _sizes(
    site: Site,
    scenario: Scenario,
    config: ModelConfig,
    part: Part,
    held: Mapping[str, tuple[int, ...]],
    num_chips: int,
) -> dict[What, int]:
    """Bytes of all that lies on a node but KV, pool and collections."""
    precision, hot = scenario.model.precision, frozenset(scenario.placement.hot_experts)
    layers = precision.chip_bytes(config) - precision.embeddings_bytes(config)
    num_hot = sum(expert in hot for ids in held.values() for expert in ids)
    num_cold = sum(map(len, held.values())) - num_hot
    return {
        "weights": num_chips * layers,
        "embeddings": num_chips * part.embeddings_bytes(config, precision),
        "experts": precision.shard_bytes(config, num_cold),
        "hot_experts": precision.shard_bytes(config, num_hot),
        "activations": _activation_bytes(site, scenario.model, config, held)
        + num_chips * _shipped_bytes(scenario, config),
        "kv_offload": num_chips * _offload_bytes(scenario),
    }


def _offload_bytes(scenario: Scenario) -> int:
    section = scenario.placement.kv_offload
    return 0 if section is None else section.capacity_bytes or 0


def _wanted(
    site: Site, sizes: Mapping[What, int], num_chips: int, has_pool: bool
) -> frozenset[What]:
    """What lies on the node at all."""
    wanted = {what for what, num_bytes in sizes.items() if num_bytes}
    wanted |= {"kv"} if num_chips else set()
    wanted |= {"pool"} if has_pool else set()
    wanted |= {"collections"} if any(role == "memory" for _, role in site.workers) else set()
    return frozenset(wanted)


def _activation_bytes(
    site: Site, model: ModelSection, config: ModelConfig, held: Mapping[str, tuple[int, ...]]
) -> int:
    """Of all chips and shards of a node."""
    num_bytes, tokens = 0, model.max_num_batched_tokens
    for name, role in site.workers:
        if role in _CHIPS:
            needed = chip_activation_bytes(config, model.precision, tokens, model.max_num_seqs)
        elif role in SHARD_ROLES:
            needed = shard_activation_bytes(config, model.precision, tokens, len(held[name]))
        else:
            continue
        stated = model.activation_memory_bytes
        num_bytes += needed if stated is None else stated
    return num_bytes


def _shipped_bytes(scenario: Scenario, config: ModelConfig) -> int:
    """Experts that a chip is sent: at most all of a layer, for each micro-batch."""
    if scenario.placement.experts.mode == "near":
        return 0
    experts = config.num_experts * scenario.model.precision.expert_bytes(config)
    return scenario.model.micro_batches * experts


def _shard(
    name: str,
    role: PlanRole,
    site: Site,
    scenario: Scenario,
    config: ModelConfig,
    tiers: Tiers,
    held: tuple[int, ...],
    ahead: Mapping[str, int],
) -> ShardPlan:
    hot = tuple(expert for expert in held if expert in scenario.placement.hot_experts)
    return ShardPlan(
        name,
        role,
        site.name,
        tier=tiers["experts"],
        engine=_experts_engine(site, scenario, tiers["experts"]),
        weights_bytes=scenario.model.precision.shard_bytes(config, len(held)),
        expert_ids=held,
        hot_tier=tiers["hot_experts"],
        hot_ids=hot,
        hot_engine=_experts_engine(site, scenario, tiers["hot_experts"]),
        prefetch_bytes=ahead,
    )


def _experts_engine(site: Site, scenario: Scenario, tier: str) -> str:
    arithmetic, engines = scenario.model.precision.arithmetic, scenario.placement.engines
    return engine_for(site.group.device, tier, arithmetic, engines)


def _memory(
    name: str,
    site: Site,
    scenario: Scenario,
    config: ModelConfig,
    tiers: Tiers,
    fit: Fit,
    servers: tuple[str, ...],
) -> MemoryPlan:
    return MemoryPlan(
        name,
        "memory",
        site.name,
        index=servers.index(name),
        num_servers=len(servers),
        collections=tuple(scenario.placement.collections),
        collection_tier=tiers["collections"],
        engine=engine_for(
            site.group.device, tiers["collections"], "fp32", scenario.placement.engines
        ),
        pool_tier=tiers["pool"],
        pool_bytes=fit.pool_bytes,
        near_blocks=near_blocks(scenario),
        near_engine=near_engine(scenario, config, site.group, tiers["pool"]),
    )
