"""Random clusters for digests: models, placements, tiers and loads, each a function of its number.

What chips of a digest model may do at all is drawn: prefill and decode apart or in one, shards of
their own or beside chips, chunks, micro-batches, preemption, pool, offload, keys beside memory
servers or shipped, experts near or shipped, any routing, any block size, any network between the
nodes, frames or none, chips of one rank or of several (tensor, pipeline, both; with slices of the
tokens where ranks share keys), KV blocks of one form or of others at the far end of a handover.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from benchmarks.network._digest_ranks import cut, split
from cluster.chaos.models import grouped, indexed, latent, stateful, windowed
from workers.model.digest.recorded import write_routing

EXPERTS = ("num_experts", "n_routed_experts", "num_local_experts")
DEVICES = ("h100-sxm", "h200-sxm", "a100-sxm", "b200-sxm", "mi300x")
MEMORIES = ("pnm-cxl", "memory-lpddr5x", "memory-ddr5")
LINKS = ("lowlat-2us", "ib-ndr", "nvlink4", "ethernet-100g", "ideal-1us")


@dataclass(frozen=True, slots=True)
class Case:
    """A scenario's mapping, and whether every message goes through a frame."""

    scenario: dict[str, Any]
    through_frames: bool


def drawn(number: int, folder: Path) -> Case:
    """Files go to `folder`."""
    random = Random(f"digest cluster {number}")
    config = grouped(random) if random.random() < 0.5 else latent(random)
    other = Random(f"model {number}")
    kind = other.random()
    if kind < 0.4:
        config = windowed(other) if kind < 0.25 else indexed(other)
    elif kind > 0.85:
        config = stateful(other)
    path = folder / f"model-{number}.json"
    path.write_text(json.dumps(config))
    experts = next(config[key] for key in EXPERTS if key in config)
    top_k = config["num_experts_per_tok"]
    layers = config["num_hidden_layers"] - config.get("first_k_dense_replace", 0)
    placement = _placement(random, has_memory := random.random() < 0.6)
    routing = _routing(random, folder / f"routing-{number}", (experts, layers, top_k))
    if routing == "balanced" and placement["experts"]["mode"] == "ship":
        routing = "uniform"
    scenario: dict[str, Any] = {
        "name": f"random-{number}",
        "seed": random.randrange(1 << 30),
        "cluster": {"world": "virtual", "nodes": _nodes(random, experts, has_memory)},
        "model": {"path": str(path), "numerics": "digest", "routing": routing, **_model(random)},
        "placement": placement,
        "workload": _workload(random),
        "slo": {"ttft": "1 s", "tpot": "1 s", "deadline": "1000 s"},
    }
    if config.get("sliding_window") or "index_topk" in config:
        placement.pop("kv_near", None)
    if (network := _network(Random(f"network {number}"))) is not None:
        scenario["cluster"]["network"] = network
        for node in scenario["cluster"]["nodes"].values():  # all that a message crosses is alike
            node["link"] = {**node["link"], "sharing": network["sharing"]}
    if (ranks := Random(f"ranks {number}")).random() < 0.4:
        split(ranks, scenario, config)
        cut(Random(f"slices {number}"), scenario, config)
    if (forms := Random(f"forms {number}")).random() < 0.5:
        _reform(forms, scenario)
    if "linear_attention" in config.get("layer_types", ()):
        _keep_states(scenario, config["num_attention_heads"])
    return Case(scenario, random.random() < 0.25)


def _network(random: Random) -> dict[str, Any] | None:
    kind = random.choice((None, "switch", "fat_tree", "rail_optimised", "dragonfly", "torus"))
    if kind is None:
        return None
    network: dict[str, Any] = {"type": kind, "sharing": random.choice(("fair", "fifo"))}
    if kind != "switch":
        network["link"] = random.choice(LINKS)
    if kind == "rail_optimised":
        network["server"] = random.choice((2, 4))
    if network["sharing"] == "fair":
        network["routing"] = random.choice(("deterministic", "adaptive"))
    return network


def _reform(random: Random, scenario: dict[str, Any]) -> None:
    """Give chips of some groups KV blocks of other sizes and, in a speed mode, other numbers."""
    model = scenario["model"]
    sizes = [model["block_size"]]
    for role, node in scenario["cluster"]["nodes"].items():
        if role not in ("chip", "prefill", "decode") or random.random() < 0.3:
            continue
        node["kv"] = {"block_size": random.choice((8, 16, 24, 32, 64))}
        if model["dtype"] == "bf16":
            node["kv"]["dtype"] = random.choice(("fp32", "bf16", "int8"))
        sizes.append(node["kv"]["block_size"])
    scenario["placement"].pop("kv_near", None)
    needed = -(-208 // min(sizes))
    model["num_kv_blocks"] = needed + random.randint(0, needed)


def _keep_states(scenario: dict[str, Any], heads: int) -> None:
    """What is not combined with states goes. Those drawn here are cut in two."""
    scenario["model"]["enable_prefix_caching"] = False
    for key in ("kv_pool", "kv_offload", "kv_near"):
        scenario["placement"].pop(key, None)
    for role, node in scenario["cluster"]["nodes"].items():
        for key in ("kv", "pipeline_parallel_size"):
            node.pop(key, None)
        if node.pop("tensor_parallel_size", 1) > 1 and role == "chip" and heads % 2 == 0:
            node["tensor_parallel_size"] = 2


def _nodes(random: Random, experts: int, has_memory: bool) -> dict[str, Any]:
    def link() -> dict[str, Any]:
        return {"base": random.choice(LINKS), "sharing": random.choice(("fifo", "fair"))}

    beside = ["experts"] if random.random() < 0.3 else []
    host = {"device": "host-cpu", "link": link()}
    nodes: dict[str, Any] = {
        "router": {"workers": ["router"], **host},
        "gateway": {"workers": ["gateway"], **host},
    }
    roles = ["prefill", "decode"] if random.random() < 0.5 else ["chip"]
    for role in roles:
        count = random.randint(1, min(3, experts // len(roles) if beside else 3))
        nodes[role] = {
            "workers": [role, *beside], "count": count,
            "device": random.choice(DEVICES), "link": link(),
        }  # fmt: skip
    if not beside:
        nodes["experts"] = {
            "workers": ["experts"], "count": random.randint(1, min(6, experts)),
            "device": random.choice(DEVICES), "link": link(),
        }  # fmt: skip
    if has_memory:
        nodes["memory"] = {
            "workers": ["memory"], "count": random.randint(1, 3),
            "device": random.choice(MEMORIES), "link": link(),
        }  # fmt: skip
    return nodes


def _placement(random: Random, has_memory: bool) -> dict[str, Any]:
    placement: dict[str, Any] = {
        "experts": {
            "strategy": random.choice(("contiguous", "round_robin")),
            "mode": "ship" if random.random() < 0.2 else "near",
        },
        "reserve": random.choice(("full", "watermark")),
    }
    offload = random.choice((None, "hbm", "memory" if has_memory else None))
    if offload is not None:
        own = {"capacity": "1 GB"} if offload == "hbm" else {}
        admission = random.choice(("always", "second_use"))
        placement["kv_offload"] = {"tier": offload, "admission": admission, **own}
    if has_memory:
        placement["kv_pool"] = random.random() < 0.5
    if has_memory and random.random() < 0.5:
        placement["kv_near"] = {
            "keep": random.randint(0, 2),
            "mode": random.choice(("near", "ship")),
            "blocks": random.choice((2, 16, 256)),
        }
    return placement


def _routing(random: Random, path: Path, sizes: tuple[int, int, int]) -> Any:
    kind = random.choice(("uniform", "balanced", "zipf", "lognormal", "bursty", "replay"))
    if kind in ("uniform", "balanced"):
        return kind
    if kind == "bursty":
        return {kind: {"zipf": random.uniform(0.2, 2), "stretch": random.randint(1, 40)}}
    if kind != "replay":
        return {kind: random.uniform(0.2, 2)}
    experts, layers, top_k = sizes
    draws = np.random.default_rng(random.randrange(1 << 30)).random((50, layers, experts))
    write_routing(path, experts, draws.argsort(axis=2)[:, :, :top_k].astype(np.int32))
    return {kind: str(path)}


def _model(random: Random) -> dict[str, Any]:
    block_size = random.choice((8, 16, 16, 24, 32, 64))
    speed = random.random() < 0.6
    rows = {"dispatch_dtype": random.choice(("auto", "bf16", "int8"))} if speed else {}
    # 208 tokens of prompt and answer at most; some blocks more, so that sequences preempt others.
    needed = -(-208 // block_size)
    max_num_seqs = random.randint(2, 8)
    return {
        "dtype": "bf16" if speed else "fp32",
        **rows,
        "message_metadata": random.choice(("charged", "free")),
        "block_size": block_size,
        "max_model_len": 208,
        "num_kv_blocks": needed + random.randint(0, needed),
        "max_num_seqs": max_num_seqs,
        "max_num_batched_tokens": random.randint(max_num_seqs, 128),
        "micro_batches": random.choice((1, 2)),
        "enable_prefix_caching": True,
    }


def _workload(random: Random) -> dict[str, Any]:
    num_requests = random.randint(4, 12)
    arrivals = random.choice(
        (
            {"closed": {"concurrency": random.randint(1, 8), "num_requests": num_requests}},
            {"poisson": {"rate_per_s": 10 ** random.uniform(2, 5), "num_requests": num_requests}},
        )
    )
    synthetic: dict[str, Any] = {
        "input_length": {"uniform": {"low": 1, "high": 90}},
        "output_length": {"uniform": {"low": 1, "high": 40}},
    }
    if random.random() < 0.5:
        synthetic["shared_prefix"] = {"length": random.randint(8, 70), "groups": 2}
    sampling = random.choice(
        ({}, {"temperature": 0.8}, {"temperature": 1.2, "top_k": 5}, {"top_p": 0.5})
    )
    return {"arrivals": arrivals, "prompts": {"synthetic": synthetic}, "sampling": sampling}
