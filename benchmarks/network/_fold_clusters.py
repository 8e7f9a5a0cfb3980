"""Random small clusters that can be folded: 2 to 8 chips, 2 to 8 shards, each a function of its
number.

Drawn are: prefill and decode apart or in one, how chips and shards differ in speed (one straggler),
devices, links, models, skewed routing (Zipf 1.0 to 2.0), how many sequences a chip takes, chunks of
prompts, arrivals (all at once, closed, or Poisson) and lengths.
"""

import json
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.network._digest_clusters import DEVICES, LINKS
from cluster.chaos.models import grouped, latent


def folded_cluster(number: int, folder: Path) -> dict[str, Any]:
    """A scenario's mapping; the model's description goes to `folder`."""
    random = Random(f"folded cluster {number}")
    model = grouped(random) if random.random() < 0.5 else latent(random)
    sparse = "num_experts" if "num_experts" in model else "n_routed_experts"
    model[sparse] = random.randint(8, 40)
    model["num_experts_per_tok"] = random.randint(1, 8)
    if "first_k_dense_replace" in model:
        model["first_k_dense_replace"] = random.randint(0, model["num_hidden_layers"] - 1)
    path = folder / f"model-{number}.json"
    path.write_text(json.dumps(model))
    nodes = _nodes(random, random.randint(2, 8))
    slow = random.choice([name for name in nodes if name != "host"])
    nodes[slow]["slow"] = {random.randrange(nodes[slow]["count"]): random.uniform(1.1, 3)}
    return {
        "name": f"folded-{number}",
        "seed": random.randrange(1 << 30),
        "cluster": {"world": "virtual", "fold": "on", "nodes": nodes},
        "model": {
            "path": str(path),
            "numerics": "digest",
            "routing": {"zipf": random.uniform(1, 2)},
            "max_model_len": 512,
            "max_num_seqs": random.randint(1, 8),
            "max_num_batched_tokens": random.choice((32, 128, 1024)),
            "num_kv_blocks": random.choice((64, 512)),
        },
        "placement": {"reserve": random.choice(("full", "watermark"))},
        "workload": _workload(random),
        "slo": {"ttft": "1 s", "tpot": "1 s", "deadline": "1000 s"},
    }


def _nodes(random: Random, chips: int) -> dict[str, Any]:
    link = {"base": random.choice(LINKS), "sharing": "fifo"}
    device = random.choice(DEVICES)
    host = {"workers": ["router", "gateway"], "device": "host-cpu", "link": link}
    if random.random() < 0.5:
        apart = random.randint(1, chips - 1)
        counts = {"prefill": apart, "decode": chips - apart}
    else:
        counts = {"chip": chips}
    nodes: dict[str, Any] = {"host": host}
    for role, count in counts.items():
        nodes[role] = {"workers": [role], "count": count, "device": device, "link": link}
    nodes["experts"] = {
        "workers": ["experts"], "count": random.randint(2, 8),
        "device": random.choice(DEVICES), "link": link,
    }  # fmt: skip
    return nodes


def _workload(random: Random) -> dict[str, Any]:
    num_requests = random.randint(10, 40)
    arrivals: dict[str, Any] = random.choice((
        {"closed": {"concurrency": random.randint(2, 24), "num_requests": num_requests}},
        {"poisson": {"rate_per_s": 10 ** random.uniform(2, 5), "num_requests": num_requests}},
    ))  # fmt: skip
    sampling = random.choice(({}, {}, {}, {"temperature": 0.8}))
    return {
        "arrivals": arrivals,
        "sampling": sampling,
        "prompts": {
            "synthetic": {
                "input_length": {"uniform": {"low": 2, "high": random.choice((20, 200))}},
                "output_length": {"uniform": {"low": 1, "high": random.choice((16, 80))}},
            }
        },
    }
