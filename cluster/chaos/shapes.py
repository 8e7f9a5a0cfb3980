"""Random clusters for trials, each a function of its number: small ones, so that a trial is short,
and between them everything that a chip, a shard and a memory server can do with a request.
"""

from dataclasses import dataclass
from random import Random
from typing import Any

from cluster.chaos.models import copies_of_keys, grouped, indexed, latent, windowed
from cluster.chaos.trial import Trial

# Each shape is about one of them, in turn, so that a few dozen shapes meet all: memory servers that
# keep prefixes, or attend; chips of several ranks, which may hold slices of the same keys; experts
# that several shards have; anything.
THEMES = ("pool", "near", "ranks", "copies", "any")
# As long as a request can be, in tokens; block sizes divide it, so that the longest takes all of
# its last block.
LONGEST = 96
BLOCK_SIZES = (8, 16, 24, 32)
LAYERS_MAX = 3
LINKS = ("lowlat-2us", "ideal-1us", "nvlink4")
# What a shape's first run, without faults, is given; later ones get some times what that took.
PATIENCE_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Shape:
    """scenario, model   as a `Trial` has them"""

    scenario: dict[str, Any]
    model: dict[str, Any] | None

    def bare(self, name: str) -> Trial:
        """A trial in which nobody asks for anything."""
        return Trial(name, self.scenario, self.model, (), ())


def shape(number: int, numerics: str) -> Shape:
    """`real`: the shipped model, and what it can do; `digest`: any model, any placement."""
    random = Random(f"chaos shape {numerics} {number}")
    is_real = numerics == "real"
    config = None if is_real else _small_model(random)
    experts = 8 if config is None else _num_experts(config)
    theme = THEMES[number % len(THEMES)]
    nodes = _nodes(random, experts, theme)
    scenario: dict[str, Any] = {
        "name": f"chaos-{numerics}-{number}",
        "seed": number,
        "cluster": {
            "world": "virtual",
            "nodes": nodes,
            "router_journal": random.random() < 0.85,
        },
        "model": {"numerics": numerics, **_model(random, theme)},
        "placement": {},
        "slo": {"ttft": "1 s", "tpot": "1 s", "deadline": f"{PATIENCE_NS} ns"},
    }
    scenario["placement"] = _placement(random, nodes, scenario["model"], theme, experts)
    if config is not None:
        scenario["model"]["routing"] = random.choice(("uniform", {"zipf": 1.0}))
        if "sliding_window" in config or "index_topk" in config:
            scenario["placement"].pop("kv_near", None)
        if theme == "ranks":
            _split(scenario, config)
    return Shape(scenario, config)


def _num_experts(config: dict[str, Any]) -> int:
    keys = ("num_experts", "n_routed_experts", "num_local_experts")
    return int(next(config[key] for key in keys if key in config))


def _small_model(random: Random) -> dict[str, Any]:
    draw = random.choices((grouped, latent, windowed, indexed), (6, 3, 1, 1))[0]
    while True:
        config = draw(random)
        if config["num_hidden_layers"] <= LAYERS_MAX and _num_experts(config) >= 4:
            return config


def _nodes(random: Random, experts: int, theme: str) -> dict[str, Any]:
    link = random.choice(LINKS)
    nodes: dict[str, Any] = {
        "router": {"workers": ["router"], "device": "host-cpu"},
        "gateway": {"workers": ["gateway"], "device": "host-cpu"},
    }
    apart = random.random() < 0.65 or theme == "pool"
    roles = {"prefill": random.choice((1, 1, 2)), "decode": random.choice((1, 2, 2))}
    if not apart:
        roles = {"chip": random.choice((1, 2, 2))}
    beside = theme != "copies" and random.random() < 0.15 and sum(roles.values()) <= experts
    for role, count in roles.items():
        workers = [role, "experts"] if beside else [role]
        nodes[role] = {"workers": workers, "count": count, "device": "h100-sxm"}
    if not beside:
        count = random.choice((2, 3) if theme == "copies" else (1, 2, 3))
        nodes["experts"] = {"workers": ["experts"], "count": count, "device": "h100-sxm"}
        if random.random() < 0.3 and theme != "copies":
            nodes["experts"]["spares"] = 1
    if random.random() < 0.3 or theme in ("pool", "near"):
        count = random.choice((1, 2))
        nodes["memory"] = {"workers": ["memory"], "count": count, "device": "pnm-cxl"}
    for node in nodes.values():
        node["link"] = link
    return nodes


def _placement(
    random: Random, nodes: dict[str, Any], model: dict[str, Any], theme: str, num_experts: int
) -> dict[str, Any]:
    experts: dict[str, Any] = {"strategy": random.choice(("contiguous", "round_robin"))}
    if random.random() < 0.15:
        experts |= {"on_timeout": "replace", "timeout": "100 us"}
    if theme == "copies":
        experts["replicas"] = {"copies": dict.fromkeys(range(num_experts), 1)}
    placement: dict[str, Any] = {
        "experts": experts,
        "reserve": random.choice(("full", "watermark")),
    }
    if "memory" in nodes and model["enable_prefix_caching"]:
        placement["kv_pool"] = theme == "pool" or random.random() < 0.6
        if theme == "near" or (random.random() < 0.2 and model["block_size"] % 16 == 0):
            placement["kv_near"] = {"keep": random.randint(0, 2), "mode": "near", "blocks": 16}
        elif random.random() < 0.3:
            placement["kv_offload"] = {"tier": "memory", "admission": "always"}
    return placement


def _model(random: Random, theme: str) -> dict[str, Any]:
    """Blocks for one sequence of the longest, or for a few."""
    block_size = 16 if theme == "near" else random.choice(BLOCK_SIZES)
    max_num_seqs = random.randint(2, 6)
    return {
        "dtype": "fp32",
        "block_size": block_size,
        "max_model_len": LONGEST,
        "num_kv_blocks": LONGEST // block_size * random.choice((1, 1, 2, 3)),
        "max_num_seqs": max_num_seqs,
        "max_num_batched_tokens": random.randint(16, 96),
        "enable_prefix_caching": theme in ("pool", "near") or random.random() < 0.8,
    }


def _split(scenario: dict[str, Any], config: dict[str, Any]) -> None:
    """Its chips have two ranks; what is not combined with that, goes."""
    found = False
    for role, node in scenario["cluster"]["nodes"].items():
        is_alone = role in ("chip", "decode") and len(node["workers"]) == 1
        if is_alone and config["num_attention_heads"] % 2 == 0:
            node["tensor_parallel_size"] = 2
            has_copies = copies_of_keys(config, 2) > 1
            if has_copies and Random(f"chaos slices {scenario['name']}").random() < 0.6:
                node["decode_context_parallel_size"] = 2
            found = True
    if found:
        for key in ("kv_pool", "kv_offload", "kv_near"):
            scenario["placement"].pop(key, None)
