"""Twelve clusters that together have every role, both placements, pool and retrieval, faults,
closed and open load, links that are curves, a line for KV room, and preemption for want of it."""

from collections.abc import Mapping
from typing import Any

# No prompt asks for passages, so none need to stand ready.
PLAIN: Mapping[str, Any] = {
    "placement.collections": None,
    "workload.prompts.questions.retrieval": None,
}
DROP = {"type": "drop", "toxicity": 0.03}
TWICE = {"type": "duplicate", "toxicity": 0.03, "attributes": {"delay": "3 us"}}
LATE = {"type": "latency", "toxicity": 0.2, "attributes": {"latency": "20 us", "jitter": "20 us"}}
FLIP = {"type": "corrupt", "toxicity": 0.02}
CUT = {
    "type": "partition", "source": "decode-0", "destination": "router",
    "start": "300 us", "duration": "20 ms",
}  # fmt: skip
NARROW = {"type": "bandwidth", "source": "prefill-0", "attributes": {"rate": "2 GB/s"}}
SYNTHETIC = {
    "input_length": {"uniform": {"low": 20, "high": 120}},
    "output_length": {"uniform": {"low": 2, "high": 12}},
}


def closed(num_requests: int, concurrency: int = 4) -> dict[str, Any]:
    arrivals = {"closed": {"concurrency": concurrency, "num_requests": num_requests}}
    return {"workload.arrivals": arrivals}


def poisson(num_requests: int, rate_per_s: int) -> dict[str, Any]:
    arrivals = {"poisson": {"rate_per_s": rate_per_s, "num_requests": num_requests}}
    return {"workload.arrivals": arrivals}


# name -> (scenario that it starts from, what is changed in it)
SCENARIOS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "retrieval": ("demo", closed(16)),
    "colocated": ("single", closed(16)),
    "poisson": ("poisson", {**poisson(16, 20_000), "placement.collections": None}),
    "faults": ("demo", {**closed(12), "faults": [DROP, TWICE, LATE, FLIP]}),
    "partition": ("demo", {**PLAIN, **closed(12), "faults": [CUT]}),
    "slow-links": (
        "demo",
        {
            **PLAIN,
            **closed(12),
            "cluster.nodes.experts.link": "ethernet-100g",
            "faults": [NARROW],
        },
    ),
    "curved-links": (
        "demo",
        {
            **PLAIN,
            **closed(8),
            **{
                f"cluster.nodes.{group}.link": "ib-mooncake"
                for group in ("prefill", "decode", "experts")
            },
        },
    ),
    "chunked-prefill": (
        "demo",
        {
            **PLAIN,
            **closed(12),
            "cluster.nodes.prefill.count": 3,
            "cluster.nodes.decode.count": 1,
            "model.max_num_batched_tokens": 16,
            "model.max_num_seqs": 4,
        },
    ),
    "no-caches": (
        "demo",
        {
            **PLAIN,
            **closed(12),
            "cluster.nodes.experts.count": 8,
            "placement.kv_pool": False,
            "model.enable_prefix_caching": False,
            "model.block_size": 8,
        },
    ),
    "line-for-room": (
        "demo",
        {
            "placement.collections": None,
            **closed(10, concurrency=10),
            "workload.prompts": {"synthetic": SYNTHETIC},
            "model.num_kv_blocks": 12,
            "model.max_model_len": 192,
            "cluster.nodes.decode.count": 1,
        },
    ),
    "memory-pressure": (
        "demo",
        {
            "placement.collections": None,
            "placement.reserve": "watermark",
            **closed(8, concurrency=8),
            "workload.prompts": {"synthetic": SYNTHETIC},
            "workload.prompts.synthetic.output_length": {"uniform": {"low": 20, "high": 48}},
            "workload.sampling.ignore_eos": True,
            "model.num_kv_blocks": 14,
            "model.max_model_len": 192,
            "cluster.nodes.decode.count": 1,
        },
    ),
    "deadlines": (
        "poisson",
        {
            **poisson(16, 200_000),
            "placement.collections": None,
            "slo.deadline": "1 ms",
            "slo.admission.max_queue": 10,
        },
    ),
}
