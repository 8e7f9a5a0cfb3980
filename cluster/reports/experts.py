"""Who computed how many tokens: what a run says of its experts."""

from collections.abc import Mapping
from typing import Any

from configs.eplb import imbalance
from configs.plan import Plan
from workers.experts.expert_shard import TOKENS


def expert_figures(plan: Plan, counts: Mapping[str, int]) -> dict[str, Any]:
    """Of all layers together: tokens that wanted each expert, those of each shard (a token counts
    once for each of its experts there), and largest over mean of these. Empty where shards computed
    nothing: their weights were shipped, or all stood on one machine without them.
    """
    tokens = dict.fromkeys(range(len(plan.experts)), 0)
    shards = dict.fromkeys(plan.names("experts"), 0)
    for name, count in counts.items():
        if name.startswith(TOKENS):
            shard, _, expert = name.removeprefix(TOKENS).rpartition("/")
            tokens[int(expert)] += count
            shards[shard] += count
    if not any(shards.values()):
        return {}
    return {"tokens": tokens, "shards": shards, "imbalance": imbalance(list(shards.values()))}


def expert_lines(plan: Plan, counts: Mapping[str, int]) -> list[str]:
    """In words; nothing where there is one shard, or none computed."""
    told = expert_figures(plan, counts)
    if not told or len(told["shards"]) < 2:
        return []
    shards: dict[str, int] = told["shards"]
    most, least = max(shards, key=shards.__getitem__), min(shards, key=shards.__getitem__)
    copies = sum(map(len, plan.experts.values())) - len(plan.experts)
    return [
        f"experts: {sum(shards.values()):,} tokens on {len(shards)} shards, from "
        f"{shards[least]:,} ({least}) to {shards[most]:,} ({most}): max/mean "
        f"{told['imbalance']:.2f}" + (f", {copies:,} copies beside the first" if copies else "")
    ]
