"""From a scenario to the machines that will stand: pure, and where impossible clusters are refused.

    scenario + model config ── make_plan ──▶ Plan ──▶ a world starts exactly these nodes and workers

Nothing is started, read or allocated here. All that is wrong is reported at once, with what would
be right.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from configs.fitting import Fill, Fit, fit_node
from configs.model_config import ModelConfig
from configs.nearest import nearest
from configs.placing import place_experts
from configs.precision import Precision, kernels_hindrance
from configs.schema import (
    CHIP_ROLES,
    SINGLE_ROLES,
    DeviceSpec,
    LinkSpec,
    NodeGroup,
    Role,
    Scenario,
    ScenarioError,
)
from configs.schema.faults import ANYONE


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """One worker; router and gateway need no more than this."""

    name: str
    role: Role
    node: str


@dataclass(frozen=True, slots=True)
class ChipPlan(WorkerPlan):
    """A prefill chip, a decode chip, or one that does both (role `chip`). Weights (all but the
    experts) are in `tier`, KV in `kv_tier`.
    """

    tier: str
    kv_tier: str
    weights_bytes: int
    num_kv_blocks: int
    kv_bytes: int


@dataclass(frozen=True, slots=True)
class ShardPlan(WorkerPlan):
    """An expert shard: the same `expert_ids` (ascending) of every layer, kept in `tier`."""

    tier: str
    weights_bytes: int
    expert_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class MemoryPlan(WorkerPlan):
    """A memory server. It is number `index` of `num_servers`, over which each collection is spread.

    collections   store names               collection_tier   where their vectors are
    pool_tier     where pooled KV is        pool_bytes        at most; 0 where there is no pool
    """

    index: int
    num_servers: int
    collections: tuple[str, ...]
    collection_tier: str
    pool_tier: str
    pool_bytes: int


@dataclass(frozen=True, slots=True)
class NodePlan:
    """One machine with its workers, in the order of their roles in the scenario.

    fills   tier -> what lies in it (collections are not counted: their size shows when they are
            loaded)
    """

    name: str
    group: str
    device: DeviceSpec
    link: LinkSpec
    workers: tuple[WorkerPlan, ...]
    fills: Mapping[str, tuple[Fill, ...]]


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole cluster.

    nodes       in scenario order           experts     expert id -> shard worker, the same in every
                layer
    directory   worker -> node              max_model_len   longest prompt plus answer, resolved
    kv_block_bytes   of one KV block, all layers
    """

    nodes: tuple[NodePlan, ...]
    experts: Mapping[int, str]
    directory: Mapping[str, str]
    max_model_len: int
    kv_block_bytes: int

    @property
    def workers(self) -> tuple[WorkerPlan, ...]:
        """All workers, node by node."""
        return tuple(worker for node in self.nodes for worker in node.workers)

    def names(self, *roles: Role) -> tuple[str, ...]:
        """Names of the workers with these roles, in plan order."""
        return tuple(worker.name for worker in self.workers if worker.role in roles)

    def worker(self, name: str) -> WorkerPlan:
        """Raises KeyError for a name that is not in the plan."""
        for worker in self.workers:
            if worker.name == name:
                return worker
        raise KeyError(name)

    def node(self, name: str) -> NodePlan:
        """A node by its own name. Raises KeyError."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class _Site:
    """A node before anything is put into it."""

    name: str
    group_name: str
    group: NodeGroup
    workers: tuple[tuple[str, Role], ...]


def make_plan(scenario: Scenario, model_config: ModelConfig) -> Plan:
    """The plan, or ScenarioError with everything that makes this cluster impossible."""
    problems: list[str] = []
    sites = _sites(scenario)
    problems += _role_problems(scenario, sites)
    problems += _world_problems(scenario)
    problems += _fault_problems(scenario, sites)
    problems += _dtype_problems(scenario, model_config)
    problems += _batch_problems(scenario)

    max_model_len = scenario.model.max_model_len or model_config.max_context
    if max_model_len > model_config.max_context:
        problems.append(
            f"model.max_model_len: is {max_model_len}: {scenario.model.path} was made for a "
            f"context of {model_config.max_context} tokens, so at most {model_config.max_context}"
        )
    shards = _named(sites, "experts")
    placed, wrong = place_experts(scenario.placement.experts, shards, model_config.num_experts)
    problems += wrong

    precision = scenario.model.precision
    kv_block_bytes = scenario.model.block_size * precision.kv_bytes_per_token(model_config)
    servers = _named(sites, "memory")
    nodes = []
    for site in sites:
        node, wrong = _fill_site(
            site, scenario, model_config, placed, servers, kv_block_bytes, max_model_len
        )
        problems += wrong
        nodes.append(node)
    if problems:
        unique = list(dict.fromkeys(problems))  # nodes of one group have the same problem
        title = f"scenario {scenario.name} cannot stand: {len(unique)} problem(s)"
        raise ScenarioError(title, unique)
    return Plan(
        nodes=tuple(nodes),
        experts={e: shard for shard in shards for e in placed[shard]},
        directory={name: site.name for site in sites for name, _ in site.workers},
        max_model_len=max_model_len,
        kv_block_bytes=kv_block_bytes,
    )


def _sites(scenario: Scenario) -> tuple[_Site, ...]:
    """Every node with its workers named: `<role>-<i>` counts over the whole cluster."""
    counts: dict[Role, int] = {}
    sites = []
    for group_name, group in scenario.cluster.nodes.items():
        for node_name in group.node_names(group_name):
            workers = []
            for role in group.workers:
                number = counts.get(role, 0)
                counts[role] = number + 1
                plain = role in SINGLE_ROLES and number == 0
                workers.append((role if plain else f"{role}-{number}", role))
            sites.append(_Site(node_name, group_name, group, tuple(workers)))
    return tuple(sites)


def _named(sites: tuple[_Site, ...], *roles: Role) -> tuple[str, ...]:
    return tuple(name for site in sites for name, role in site.workers if role in roles)


def _role_problems(scenario: Scenario, sites: tuple[_Site, ...]) -> list[str]:
    """Roles that are missing, or there more often than once where there may be one; names used
    twice.
    """
    problems = []
    for role in SINGLE_ROLES:
        found = len(_named(sites, role))
        if found != 1:
            problems.append(
                f"cluster.nodes: {found or 'no'} {role}{'s' if found else ''}: there must be "
                f"exactly one node with workers: [{role}]"
            )
    problems += [
        f"cluster.nodes: no {role} chip: add a group, e.g. "
        f"{role}: {{workers: [{role}], device: h100-sxm, link: lowlat-2us}}, or one with workers: "
        "[chip], which does both"
        for role in ("prefill", "decode")
        if not _named(sites, role, "chip")
    ]
    if not _named(sites, "experts"):
        problems.append(
            "cluster.nodes: no expert shard: add experts to a group's workers, or a group of their "
            "own"
        )
    if not _named(sites, "memory"):
        wanted = [f"placement.collections.{name}" for name in scenario.placement.collections]
        wanted += ["placement.kv_pool"] if scenario.placement.kv_pool else []
        problems += [
            f"{key}: needs a memory server and there is none: add a group with workers: [memory], "
            "or leave the key out"
            for key in wanted
        ]
    names = [site.name for site in sites]
    for name in dict.fromkeys(n for n in names if names.count(n) > 1):
        groups = ", ".join(site.group_name for site in sites if site.name == name)
        problems.append(f"cluster.nodes: groups {groups} both have a node {name!r}: rename a group")
    return problems


def _world_problems(scenario: Scenario) -> list[str]:
    cluster = scenario.cluster
    if cluster.world == "virtual" and not cluster.emulation:
        return [
            "cluster.emulation: is off in the virtual world, where no time passes but emulated "
            "time: leave it on, or use world: process or local"
        ]
    if cluster.world == "local" and cluster.frames_by == "memory":
        return [
            "cluster.transport: is 'memory' in world 'local', where nodes are processes: use "
            "'grpc', or world: process"
        ]
    return []


def _fault_problems(scenario: Scenario, sites: tuple[_Site, ...]) -> list[str]:
    names = [site.name for site in sites] + [name for site in sites for name, _ in site.workers]
    known = list(dict.fromkeys(names))
    return [
        f"faults.{i}.{end}: no node or worker is called {name!r}: {nearest(name, known)}"
        for i, rule in enumerate(scenario.faults)
        for end, name in (("source", rule.source), ("destination", rule.destination))
        if name != ANYONE and name not in known
    ]


def _dtype_problems(scenario: Scenario, config: ModelConfig) -> list[str]:
    """A machine must compute in the dtypes in which its workers declare work, and we must too."""
    precision = scenario.model.precision
    hindrance = None if precision.exact else kernels_hindrance(config, scenario.model.block_size)
    problems = [] if hindrance is None else [f"model.dtype: is {precision}, and {hindrance}"]
    return problems + [
        f"cluster.nodes.{name}.device.compute: {group.device.name} has no {dtype} rate, and {what} "
        f"in {dtype}: it has {', '.join(group.device.compute)}"
        for name, group in scenario.cluster.nodes.items()
        for dtype, what in _rates(group, precision, config).items()
        if dtype not in group.device.compute
    ]


def _rates(group: NodeGroup, precision: Precision, config: ModelConfig) -> dict[str, str]:
    """Dtypes in which a group's workers declare work, and what that work is."""
    rates: dict[str, str] = {}
    if "memory" in group.workers:
        rates["fp32"] = "vectors are compared"
    if any(role in CHIP_ROLES for role in group.workers):
        rates["fp32"] = "gates are computed"
        rates[precision.pair_arithmetic(config)] = "attention is computed"
    if any(role in CHIP_ROLES or role == "experts" for role in group.workers):
        rates[precision.arithmetic] = "the model is computed"
    return rates


def _batch_problems(scenario: Scenario) -> list[str]:
    """Every decoding sequence has one token in each step, so a step must hold that many."""
    seqs, tokens = scenario.model.max_num_seqs, scenario.model.max_num_batched_tokens
    if seqs <= tokens:
        return []
    return [
        f"model.max_num_seqs: is {seqs}, and model.max_num_batched_tokens {tokens}: a step has a "
        f"token of each decoding sequence, so lower the first to {tokens} or raise the second"
    ]


def _fill_site(
    site: _Site,
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
    held = {
        name: tuple(sorted(placed.get(name, ())))
        for name, role in site.workers
        if role == "experts"
    }
    fit = fit_node(
        key=f"cluster.nodes.{site.group_name}",
        device=device,
        model=scenario.model,
        kv_tier=scenario.placement.kv_tier,
        experts_tier=scenario.placement.experts_tier,
        chip_bytes=chip_bytes,
        chips=tuple(name for name, role in site.workers if role in CHIP_ROLES),
        shards={name: precision.shard_bytes(config, len(ids)) for name, ids in held.items()},
        kv_block_bytes=kv_block_bytes,
        max_model_len=max_model_len,
        has_pool=scenario.placement.kv_pool and any(r == "memory" for _, r in site.workers),
    )
    workers: list[WorkerPlan] = []
    for name, role in site.workers:
        if role in CHIP_ROLES:
            workers.append(_chip(name, role, site, fit, chip_bytes, kv_block_bytes))
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


def _chip(
    name: str, role: Role, site: _Site, fit: Fit, weights_bytes: int, kv_block_bytes: int
) -> ChipPlan:
    return ChipPlan(
        name,
        role,
        site.name,
        tier=site.group.device.default_tier,
        kv_tier=fit.kv_tier,
        weights_bytes=weights_bytes,
        num_kv_blocks=fit.num_kv_blocks,
        kv_bytes=fit.num_kv_blocks * kv_block_bytes,
    )


def _memory(
    name: str, site: _Site, fit: Fit, servers: tuple[str, ...], stores: tuple[str, ...]
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
