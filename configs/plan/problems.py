"""What makes a cluster impossible, whatever its memory holds: each with what would be right."""

from configs.certificates import read_certificates
from configs.model_config import ModelConfig
from configs.nearest import nearest
from configs.plan.context import context_problems
from configs.plan.digests import digest_problems
from configs.plan.forms import form_problems
from configs.plan.near import near_problems, window_problems
from configs.plan.ranks import split_problems
from configs.plan.sites import Site, named
from configs.plan.states import state_problems
from configs.precision import Precision, kernels_hindrance
from configs.presets import certificates_folder
from configs.schema import CHIP_ROLES, SINGLE_ROLES, ClusterSection, NodeGroup, Scenario
from configs.schema.faults import ANYONE
from configs.schema.wires import LOOPBACK, has_ucx, shm_hindrance
from configs.units import SIZE


def problems_of(scenario: Scenario, sites: tuple[Site, ...], config: ModelConfig) -> list[str]:
    """All of them, in the order of the scenario's sections."""
    return [
        *_role_problems(scenario, sites, config),
        *_world_problems(scenario),
        *_fault_problems(scenario, sites),
        *_dtype_problems(scenario, config),
        *form_problems(scenario, config),
        *near_problems(scenario, config),
        *window_problems(scenario, config),
        *digest_problems(scenario, config),
        *state_problems(scenario, config),
        *split_problems(scenario),
        *context_problems(scenario, config),
        *_batch_problems(scenario),
        *_context_problems(scenario, config),
        *_expert_problems(scenario, config),
        *_shipping_problems(scenario),
        *_prefetch_problems(scenario),
        *_offload_problems(scenario, config),
    ]


def _role_problems(scenario: Scenario, sites: tuple[Site, ...], config: ModelConfig) -> list[str]:
    """Roles that are missing, or there more often than once where there may be one; names used
    twice.
    """
    problems = []
    for role in SINGLE_ROLES:
        found = len(named(sites, role))
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
        if not named(sites, role, "chip")
    ]
    if config.num_experts and not named(sites, "experts"):
        problems.append(
            "cluster.nodes: no expert shard: add experts to a group's workers, or a group of their "
            "own"
        )
    if not named(sites, "memory"):
        wanted = [f"placement.collections.{name}" for name in scenario.placement.collections]
        wanted += ["placement.kv_pool"] if scenario.placement.kv_pool else []
        offload = scenario.placement.kv_offload
        wanted += ["placement.kv_offload.tier"] if offload and not offload.own_tier else []
        wanted += ["placement.kv_near"] if scenario.placement.kv_near else []
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
            "time: leave it on, or use world: process, local or ray"
        ]
    if cluster.has_processes and cluster.transport == "memory":
        return [
            f"cluster.transport: is 'memory' in world {cluster.world!r}, where nodes are "
            "processes: use 'grpc', or world: process"
        ]
    if cluster.world == "ray":
        return []  # what its machines have shows when they are asked
    return _wire_problems(cluster) or _certificate_problems(cluster)


def _wire_problems(cluster: ClusterSection) -> list[str]:
    """Wires that are asked for by name, and cannot be had here."""
    asked: dict[str, str] = {"cluster.transport": cluster.frames_by}
    if cluster.world == "local":
        named = {name: group.transport for name, group in cluster.nodes.items()}
        asked |= {f"cluster.nodes.{name}.transport": wire for name, wire in named.items() if wire}
    hindrances = {
        "ucx": "" if has_ucx() else "is not installed here: pip install 'perfuse[ucx]'",
        "shm": shm_hindrance(),
    }
    others = {"ucx": "'shm', 'grpc' or 'auto'", "shm": "'ucx', 'grpc' or 'auto'"}
    return [
        f"{key}: is {wire!r}, which {why}; or use {others[wire]}"
        for key, wire in asked.items()
        if (why := hindrances.get(wire))
    ]


def _certificate_problems(cluster: ClusterSection) -> list[str]:
    """Where nodes are processes; within one nothing crosses a wire."""
    if cluster.certificates is None or cluster.world != "local":
        return []
    if others := [wire for wire in cluster.wires if wire != "grpc"]:
        return [
            f"cluster.certificates: is given, and frames move by {others[0]!r}, which has "
            "no TLS: use transport: grpc, or leave the key out (only this user's processes on this "
            "machine can reach the others)"
        ]
    try:
        read_certificates(certificates_folder(cluster.certificates), LOOPBACK)
    except ValueError as error:
        return [f"cluster.certificates: {error}"]
    return []


def _fault_problems(scenario: Scenario, sites: tuple[Site, ...]) -> list[str]:
    names = [site.name for site in sites] + [name for site in sites for name, _ in site.workers]
    known = list(dict.fromkeys(names))
    return [
        f"faults.{i}.{end}: no node or worker is called {name!r}: {nearest(name, known)}"
        for i, rule in enumerate(scenario.faults)
        for end, name in rule.places.items()
        if name != ANYONE and name not in known
    ]


def _dtype_problems(scenario: Scenario, config: ModelConfig) -> list[str]:
    """A machine must compute in the dtypes in which its workers declare work, and we must too."""
    precision = scenario.model.precision
    asks = not precision.exact and scenario.model.numerics == "real"
    hindrance = kernels_hindrance(config, scenario.model.block_size) if asks else None
    problems = [] if hindrance is None else [f"model.dtype: is {precision}, and {hindrance}"]
    return problems + [
        f"cluster.nodes.{name}.device.compute: {group.device.name} has no {dtype} rate, and {what} "
        f"in {dtype}: it has {', '.join(group.device.compute)}"
        for name, group in scenario.cluster.nodes.items()
        for dtype, what in _rates(group, scenario.of_group(name).model.precision, config).items()
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


def _context_problems(scenario: Scenario, config: ModelConfig) -> list[str]:
    asked = scenario.model.max_model_len
    if asked is None or asked <= config.max_context:
        return []
    return [
        f"model.max_model_len: is {asked}: {scenario.model.path} was made for a "
        f"context of {config.max_context} tokens, so at most {config.max_context}"
    ]


def _expert_problems(scenario: Scenario, config: ModelConfig) -> list[str]:
    return [
        f"placement.hot_experts: names {expert}, and the model has {config.num_experts} experts: "
        f"ids are 0 to {config.num_experts - 1}"
        for expert in scenario.placement.hot_experts
        if not 0 <= expert < config.num_experts
    ]


def _shipping_problems(scenario: Scenario) -> list[str]:
    """A chip that is sent vectors scans all of them."""
    if scenario.placement.search == "near":
        return []
    return [
        f"placement.collections.{name}.index: is {placed.index!r}, and placement.search 'ship': a "
        "chip scans every vector that it is sent, so make it exact, or search near"
        for name, placed in scenario.placement.collections.items()
        if placed.index != "exact"
    ]


def _prefetch_problems(scenario: Scenario) -> list[str]:
    placement = scenario.placement
    if not placement.experts_prefetch or placement.experts.mode == "near":
        return []
    return [
        "placement.experts_prefetch: is true, and placement.experts.mode 'ship': no shard "
        "computes, so nothing is ahead of it: make the mode near, or leave experts_prefetch out"
    ]


def _offload_problems(scenario: Scenario, config: ModelConfig) -> list[str]:
    """What is evicted is found again by its content, and goes as whole blocks."""
    offload, model = scenario.placement.kv_offload, scenario.model
    if offload is None:
        return []
    problems = []
    if not model.enable_prefix_caching:
        problems.append(
            "placement.kv_offload: is given, and model.enable_prefix_caching is false, without "
            "which no block has a name to be found by: make it true, or leave kv_offload out"
        )
    models = [scenario.of_group(name).model for name in scenario.cluster.nodes]
    block_bytes = max(m.block_size * m.precision.kv_bytes_per_token(config) for m in models)
    if offload.capacity_bytes is not None and offload.capacity_bytes < block_bytes:
        problems.append(
            f"placement.kv_offload.capacity: is {SIZE.format(offload.capacity_bytes)}, in which "
            f"no KV block finds room: one takes {SIZE.format(block_bytes)}"
        )
    return problems
