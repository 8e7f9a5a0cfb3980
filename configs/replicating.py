"""Further copies of experts: by hand, or as EPLB has it."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

from configs.eplb import balance, shares_of
from configs.schema.replicas import ExpertReplicas

KEY = "placement.experts.replicas"
Placed = dict[str, tuple[int, ...]]


def with_copies(
    replicas: ExpertReplicas, placed: Mapping[str, tuple[int, ...]], num_experts: int
) -> tuple[Placed, list[str]]:
    """What was placed, and copies by hand: each on the shard without that expert that holds the
    fewest.
    """
    held = {shard: list(experts) for shard, experts in placed.items()}
    problems = []
    for expert, more in sorted(replicas.copies.items()):
        if not 0 <= expert < num_experts:
            problems.append(
                f"{KEY}.copies.{expert}: there is no expert {expert}: the model's are 0 to "
                f"{num_experts - 1}"
            )
            continue
        free = [shard for shard, experts in held.items() if expert not in experts]
        if more > len(free):
            problems.append(
                f"{KEY}.copies.{expert}: is {more}, and with the first one that is {more + 1} "
                f"copies for {len(held)} shards: one would have two, which share nothing; at most "
                f"{len(free)}"
            )
            continue
        for shard in sorted(free, key=lambda name: len(held[name]))[:more]:
            held[shard].append(expert)
    return {shard: tuple(sorted(experts)) for shard, experts in held.items()}, problems


def balanced(
    replicas: ExpertReplicas, shards: tuple[str, ...], num_experts: int, num_groups: int
) -> tuple[Placed, list[str]]:
    """All experts by EPLB, for loads that were given or counted."""
    slots, nodes = replicas.slots or 0, replicas.nodes
    apart = nodes if num_groups % nodes == 0 else 1  # a group's experts stay on one node
    problems = _slot_problems(slots, nodes, len(shards), num_experts, apart)
    try:
        loads = _loads(replicas)
    except ValueError as error:
        problems.append(f"{KEY}.path: {error}")
        return dict.fromkeys(shards, ()), problems
    if len(loads) != num_experts:
        key = "loads" if replicas.loads else "path"
        problems.append(
            f"{KEY}.{key}: has loads of {len(loads)} experts, and the model has {num_experts}: "
            "one of each"
        )
    if problems:
        return dict.fromkeys(shards, ()), problems
    found = balance(loads, slots, len(shards), num_groups, nodes)
    return {s: tuple(sorted(held)) for s, held in zip(shards, found, strict=True)}, []


def uneven_shares(
    replicas: ExpertReplicas | None, placed: Mapping[str, tuple[int, ...]]
) -> dict[tuple[int, str], float]:
    """(expert, shard) -> what that copy has of the expert's tokens, in a unit that all share; empty
    where all are even. Of a placement without problems.
    """
    if replicas is None or replicas.shares == "even":
        return {}
    shares = shares_of(_loads(replicas), list(placed.values()))
    # Beside others so few tokens may be lost in rounding: then no copy has any, and all are even.
    seen = {expert for of_shard in shares for expert, share in of_shard.items() if share}
    return {
        (expert, shard): share
        for shard, of_shard in zip(placed, shares, strict=True)
        for expert, share in of_shard.items()
        if expert in seen
    }


def _loads(replicas: ExpertReplicas) -> tuple[float, ...]:
    """In a unit, a power of 2, in which none is above 1: sums of any loads are finite, and their
    ratios as they were. Raises ValueError.
    """
    loads = replicas.loads or read_loads(replicas.path or "")
    _, exponent = math.frexp(max(loads))
    return tuple(math.ldexp(load, -exponent) for load in loads)


def _slot_problems(
    slots: int, nodes: int, num_shards: int, num_experts: int, apart: int
) -> list[str]:
    """apart: on so many nodes each expert has all its copies on one."""
    least, most = max(num_experts, num_shards), num_experts * num_shards // apart
    problems = []
    if slots < least:
        problems.append(
            f"{KEY}.slots: is {slots} for {num_experts} experts on {num_shards} shards: each must "
            f"have one, and no shard be empty; at least {least}"
        )
    if slots > most:
        problems.append(
            f"{KEY}.slots: is {slots}: {num_experts} experts on each of {num_shards // apart} "
            f"shards{' of their node' if apart > 1 else ''} take "
            f"{most}, and a shard with two copies of one would share nothing; at most {most}"
        )
    problems += [
        f"{KEY}.nodes: is {nodes}, which does not divide {count} {what}: use "
        f"{_nearest(nodes, count)}"
        for what, count in (("shards", num_shards), ("slots", slots))
        if count % nodes
    ]
    return problems


def _nearest(wanted: int, count: int) -> int:
    """The divisor of a count that is nearest to what was wanted."""
    return min((d for d in range(1, count + 1) if count % d == 0), key=lambda d: abs(d - wanted))


def read_loads(path: str) -> tuple[float, ...]:
    """Tokens of each expert, as a run has counted them. Raises ValueError."""
    try:
        told = json.loads(Path(path).expanduser().read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    tokens = told.get("experts", {}).get("tokens") if isinstance(told, dict) else None
    if not isinstance(tokens, dict) or not tokens:
        raise ValueError(
            f"{path} has no experts.tokens: give the file of a `perfuse run --json` whose shards "
            "computed experts"
        )
    try:
        counted = {int(expert): float(count) for expert, count in tokens.items()}
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: experts.tokens holds what is no number: {error}") from error
    is_count = all(math.isfinite(count) and count >= 0 for count in counted.values())
    if sorted(counted) != list(range(len(counted))) or not is_count:
        raise ValueError(f"{path}: experts.tokens must count experts 0, 1, ... without a gap")
    return tuple(counted[expert] for expert in range(len(counted)))
