"""A cluster in which all but links is free: one or several prefills send KV to a decode."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from cluster.runs.run import run_traced
from cluster.workload.build import build_workload
from cluster.worlds.blueprint import Blueprint
from configs.schema import load_scenario
from workers.host.trace import Delivered

FREE_TIER = {
    "capacity": "1 TB", "read": "1 PB/s", "write": "1 PB/s", "read_latency": "0 ns",
    "write_latency": "0 ns", "page": "1 B", "queue_depth": 10**9, "read_energy": "0 pJ/bit",
    "write_energy": "0 pJ/bit",
}  # fmt: skip
FREE = {
    "name": "free", "compute": {"fp32": "1000 PFLOP/s"}, "default_tier": "hbm", "tdp": "1 W",
    "tiers": {"hbm": FREE_TIER},
}  # fmt: skip
KV_BYTES = 3_736_300  # of a prompt of 900 tokens
RULE = {"type": "bandwidth", "kind": "kv_blocks", "attributes": {"rate": "1 GB/s"}}


def node(role: str, bandwidth: str, sharing: str, count: int = 1) -> dict[str, Any]:
    link = {"name": role, "latency": "0 ns", "bandwidth": bandwidth, "sharing": sharing}
    return {"workers": [role], "count": count, "device": FREE, "link": link}


def scenario(
    p: str, d: str, *faults: Mapping[str, Any], num: int = 1, num_d: int = 1, sharing: str = "fair"
) -> dict[str, Any]:
    """`num` prefills with a link of `p`, decodes with one of `d`, a request for each prefill."""
    host = node("router", "100 GB/s", sharing)
    del host["count"]
    return {
        "name": "links",
        "cluster": {
            "nodes": {
                "host": {**host, "workers": ["router", "gateway"]},
                "p": node("prefill", p, sharing, num),
                "d": node("decode", d, sharing, num_d),
                "ex": node("experts", "1 PB/s", sharing),
            }
        },
        "model": {
            "num_kv_blocks": 256,
            "max_num_batched_tokens": 1024,
            "enable_prefix_caching": False,
        },
        "workload": {
            "arrivals": {"closed": {"concurrency": num, "num_requests": num}},
            "prompts": {
                "synthetic": {"input_length": {"fixed": 900}, "output_length": {"fixed": 4}}
            },
        },
        "faults": list(faults),
    }


def took_ms(base: Mapping[str, Any], folder: Path) -> list[float]:
    """From each KV transfer's first byte to its last, shortest first."""
    path = folder / "links.yaml"
    path.write_text(yaml.safe_dump(dict(base)), encoding="utf-8")
    blueprint = Blueprint.draw(load_scenario(path))
    workload = build_workload(blueprint.scenario, blueprint.model.vocab)
    run, records = run_traced(blueprint, workload)
    assert [a.finish_reason for a in run.answers] == ["length"] * len(run.answers)
    kv = [r for r in records if isinstance(r, Delivered) and r.kind == "kv_blocks"]
    assert [r.num_bytes for r in kv] == [KV_BYTES] * len(run.answers), "and none is sent twice"
    return sorted(a.times_ns["kv_transfer"] / 1e6 for a in run.answers if a.times_ns)
