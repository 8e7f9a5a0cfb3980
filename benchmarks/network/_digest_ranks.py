"""Chips of several ranks in a random cluster of digests, and slices of what these share."""

from random import Random
from typing import Any

from cluster.chaos.models import copies_of_keys

CHIPS = ("chip", "prefill", "decode")


def split(random: Random, scenario: dict[str, Any], config: dict[str, Any]) -> None:
    """Give chips several ranks, where they may have them; what is not combined with that, goes."""
    layers = config["num_hidden_layers"]
    heads = config["num_attention_heads"]
    found = False
    for role, node in scenario["cluster"]["nodes"].items():
        if role not in CHIPS or len(node["workers"]) > 1:
            continue
        node["tensor_parallel_size"] = random.choice(divisors(heads, 8)[-2:])
        node["pipeline_parallel_size"] = random.randint(1, min(3, layers))
        found |= node["tensor_parallel_size"] * node["pipeline_parallel_size"] > 1
    if found:
        placement = scenario["placement"]
        placement["experts"]["mode"] = "near"
        for key in ("kv_pool", "kv_offload", "kv_near"):
            placement.pop(key, None)


def cut(random: Random, scenario: dict[str, Any], config: dict[str, Any]) -> None:
    """Let ranks that share keys hold slices of the tokens, where the model's may: at either end of
    a handover any number.
    """
    for role, node in scenario["cluster"]["nodes"].items():
        copies = copies_of_keys(config, node.get("tensor_parallel_size", 1))
        if role in CHIPS and copies > 1:
            node["decode_context_parallel_size"] = random.choice(divisors(copies, 8))


def divisors(number: int, most: int) -> list[int]:
    return [n for n in range(1, most + 1) if number % n == 0]
