"""Whether a node's memory holds what is put into it, and how much is left for KV.

Per node and tier:   budget = capacity x gpu_memory_utilization (the rest is the runtime's)
                     budget - chip weights - expert weights - activations = room for KV, shared
                     evenly by the node's chips
"""

from collections.abc import Mapping
from dataclasses import dataclass

from configs.schema.device import DeviceSpec
from configs.schema.model import ModelSection
from configs.schema.placement import What
from configs.tiers import Tiers
from configs.units import SIZE

# A pool that shares its tier with collections may fill half of it; their size is known when they
# are loaded.
_POOL_SHARE_BESIDE_COLLECTIONS = 0.5


# Those that lie with others of their kind are shown as one.
_WITH: Mapping[What, What] = {"embeddings": "weights", "hot_experts": "experts"}


@dataclass(frozen=True, slots=True)
class Fill:
    """Something that lies in a tier."""

    what: What
    num_bytes: int


@dataclass(frozen=True, slots=True)
class Fit:
    """What fits: KV blocks of each chip, the pool, what lies in each tier, and what is wrong."""

    num_kv_blocks: int
    pool_bytes: int
    fills: Mapping[str, tuple[Fill, ...]]
    problems: tuple[str, ...]


def fit_node(
    *,
    key: str,
    device: DeviceSpec,
    model: ModelSection,
    tiers: Tiers,
    held: Mapping[What, int],
    num_chips: int,
    kv_block_bytes: int,
    max_model_len: int,
    has_pool: bool,
    near_blocks: int = 0,
    states_bytes: int = 0,
) -> Fit:
    """Fill one node. `held`: bytes of all that is not KV or pool; `key` for errors.

    states_bytes  of all sequences of a chip at once, beside KV blocks and in their tier
    near_blocks   KV blocks of others' running sequences, in the pool's tier
    """
    problems = list(tiers.problems)
    fills: dict[str, list[Fill]] = {tier: [] for tier in device.tiers}
    for what, num_bytes in held.items():
        _put(fills[tiers[what]], what, num_bytes)
    problems += _overflows(key, device, fills, model, has_experts=bool(held.get("experts")))
    num_kv_blocks = 0
    if num_chips:
        kv_tier = tiers["kv"]
        states = states_bytes * num_chips
        room = _budget(device, kv_tier, model) - sum(f.num_bytes for f in fills[kv_tier]) - states
        num_kv_blocks, wrong = _kv_blocks(
            key, device, kv_tier, model, max(0, room), num_chips, kv_block_bytes, max_model_len
        )
        problems += [] if room < 0 else wrong  # weights that do not fit were reported already
        _put(fills[kv_tier], "kv", num_kv_blocks * kv_block_bytes * num_chips + states)
    problems += _near(key, device, tiers["pool"], fills, model, near_blocks, kv_block_bytes)
    pool_bytes = _pool_bytes(device, tiers, fills, model) if has_pool else 0
    _put(fills[tiers["pool"]], "pool", pool_bytes)
    return Fit(
        num_kv_blocks=num_kv_blocks,
        pool_bytes=pool_bytes,
        fills={tier: tuple(held) for tier, held in fills.items()},
        problems=tuple(problems),
    )


def _put(held: list[Fill], what: What, num_bytes: int) -> None:
    with_it = _WITH.get(what)
    for index, fill in enumerate(held):
        if fill.what == with_it:
            held[index] = Fill(fill.what, fill.num_bytes + num_bytes)
            return
    if num_bytes:
        held.append(Fill(what, num_bytes))


def _budget(device: DeviceSpec, tier: str, model: ModelSection) -> int:
    return int(device.tiers[tier].capacity_bytes * model.gpu_memory_utilization)


def _overflows(
    key: str,
    device: DeviceSpec,
    fills: Mapping[str, list[Fill]],
    model: ModelSection,
    has_experts: bool,
) -> list[str]:
    """What is beyond a tier's budget: what is needed, what there is, and what would do."""
    problems = []
    more = "more expert shards, or " if has_experts else ""
    for tier, held in fills.items():
        needed, budget = sum(fill.num_bytes for fill in held), _budget(device, tier, model)
        if needed <= budget:
            continue
        parts = " and ".join(f"{rough(fill.num_bytes)} of {fill.what}" for fill in held)
        wanted = rough(int(needed / model.gpu_memory_utilization) + 1)
        problems.append(
            f"{key}: {parts} do not fit tier {tier} of {device.name}: needs {rough(needed)}, has "
            f"{rough(budget)} ({100 * model.gpu_memory_utilization:.4g}% of "
            f"{SIZE.format(device.tiers[tier].capacity_bytes)}); use {more}a device with at least "
            f"{wanted}"
        )
    return problems


def _kv_blocks(
    key: str,
    device: DeviceSpec,
    tier: str,
    model: ModelSection,
    room: int,
    num_chips: int,
    block_bytes: int,
    max_model_len: int,
) -> tuple[int, list[str]]:
    """(KV blocks of each chip, problems): all that fits, or the number asked for."""
    fitting = room // num_chips // block_bytes
    blocks = fitting if model.num_kv_blocks is None else model.num_kv_blocks
    needed = -(-max_model_len // model.block_size)
    problems = []
    if blocks > fitting:
        problems.append(
            f"model.num_kv_blocks: is {blocks} ({rough(blocks * block_bytes)} for each chip): "
            f"beside the weights tier {tier} of {device.name} in {key} has room for "
            f"{fitting}"
        )
    if blocks < needed:
        where = f"{key}: tier {tier} of {device.name} has room for"
        where = "model.num_kv_blocks: is" if model.num_kv_blocks is not None else where
        problems.append(
            f"{where} {blocks} KV blocks, less than one sequence of {max_model_len} tokens needs "
            f"({needed} blocks of {model.block_size}, {rough(needed * block_bytes)}): lower "
            f"model.max_model_len to {blocks * model.block_size} or make room for {needed} blocks"
        )
    return blocks, problems


def _near(
    key: str,
    device: DeviceSpec,
    tier: str,
    fills: Mapping[str, list[Fill]],
    model: ModelSection,
    num_blocks: int,
    block_bytes: int,
) -> list[str]:
    """Put them there; what is wrong where they do not fit."""
    if not num_blocks:
        return []
    needed = num_blocks * block_bytes
    room = _budget(device, tier, model) - sum(fill.num_bytes for fill in fills[tier])
    if needed and needed > room:  # where there are none, what else does not fit is said already
        return [
            f"placement.kv_near.blocks: is {num_blocks} for {key} ({rough(needed)}): tier {tier} "
            f"of {device.name} has room for {max(0, room) // block_bytes}"
        ]
    _put(fills[tier], "kv", needed)
    return []


def _pool_bytes(
    device: DeviceSpec, tiers: Tiers, fills: Mapping[str, list[Fill]], model: ModelSection
) -> int:
    """What is left of the pool's tier, or its share of that beside collections; no more than the
    file behind it holds.
    """
    tier = tiers["pool"]
    left = _budget(device, tier, model) - sum(fill.num_bytes for fill in fills[tier])
    share = _POOL_SHARE_BESIDE_COLLECTIONS if tier == tiers["collections"] else 1
    spec, pool_bytes = device.tiers[tier], max(0, int(left * share))
    return (
        pool_bytes
        if spec.file is None
        else min(pool_bytes, spec.file.usable_bytes(spec.page_bytes))
    )


def rough(num_bytes: int) -> str:
    """Three digits are enough for a message: 72 GB, 1.23 MB."""
    for unit, scale in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if num_bytes >= scale:
            return f"{num_bytes / scale:.3g} {unit}"
    return f"{num_bytes} B"
