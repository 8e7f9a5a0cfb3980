"""A bandwidth rule is a link: one prefill sends its KV to a decode, and all but links is free."""

from collections.abc import Mapping
from typing import Any

import pytest

from cluster.faults.rules import narrow
from cluster.runs.run import run_traced
from cluster.workload.build import build_workload
from cluster.worlds.blueprint import Blueprint
from configs.schema import load_scenario
from tests.workers.bench import Bench
from workers.host.rng import Rng
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


def took_ms(base: dict[str, Any], tmp_path_factory: Any) -> list[float]:
    """From each KV transfer's first byte to its last, shortest first."""
    import yaml

    path = tmp_path_factory.mktemp("scenario") / "links.yaml"
    path.write_text(yaml.safe_dump(base))
    blueprint = Blueprint.draw(load_scenario(path))
    workload = build_workload(blueprint.scenario, blueprint.model.vocab)
    run, records = run_traced(blueprint, workload)
    assert [a.finish_reason for a in run.answers] == ["length"] * len(run.answers)
    kv = [r for r in records if isinstance(r, Delivered) and r.kind == "kv_blocks"]
    assert [r.num_bytes for r in kv] == [KV_BYTES] * len(run.answers), "and none is sent twice"
    assert all(a.times_ns for a in run.answers)
    return sorted(a.times_ns["kv_transfer"] / 1e6 for a in run.answers)


@pytest.mark.parametrize("sharing", ["fair", "fifo"])
@pytest.mark.parametrize(
    "aim", [{}, {"source": "prefill-0"}, {"destination": "decode-0"}, {"kind": "*"}]
)
def test_a_rule_as_wide_as_a_path_changes_nothing(
    aim: dict[str, str], sharing: str, tmp_path_factory: Any
) -> None:
    """10 GB/s, then 1: 3,736,300 bytes at 1 GB/s are 3.7363 ms, with the rule or without."""
    free = took_ms(scenario("10 GB/s", "1 GB/s", sharing=sharing), tmp_path_factory)
    ruled = scenario("10 GB/s", "1 GB/s", {**RULE, **aim}, sharing=sharing)
    assert free == pytest.approx([3.7363], abs=0.001)
    assert took_ms(ruled, tmp_path_factory) == pytest.approx(free, abs=0.001)


@pytest.mark.parametrize(("sharing", "first_ms"), [("fair", 7.4726), ("fifo", 3.7363)])
@pytest.mark.parametrize("aim", [{}, {"destination": "decode-0"}, {"destination": "d-0"}])
def test_two_sources_into_one_narrowed_destination_end_as_over_a_link(
    aim: dict[str, str], sharing: str, first_ms: float, tmp_path_factory: Any
) -> None:
    """Twice 3,736,300 bytes at 1 GB/s: the last is there after 7.4726 ms. (In order a real link's
    first is followed by the second before anything else comes in, so there only the last compares.)
    """
    wide = scenario("100 GB/s", "100 GB/s", {**RULE, **aim}, num=2, sharing=sharing)
    real = scenario("100 GB/s", "1 GB/s", num=2, sharing=sharing)
    ruled = took_ms(wide, tmp_path_factory)
    assert ruled == pytest.approx([first_ms, 7.4726], abs=0.001)
    assert ruled[-1] == pytest.approx(took_ms(real, tmp_path_factory)[-1], abs=0.001)


@pytest.mark.parametrize(
    ("rule", "out", "into", "far"),
    [
        ({}, "ab", "ab", ""),
        ({"source": "a"}, "a", "", "ab"),
        ({"destination": "a"}, "", "a", ""),
        ({"source": "a", "destination": "b"}, "", "b", ""),
    ],
)
def test_a_rule_narrows_the_link_that_it_names_or_all(
    rule: dict[str, str], out: str, into: str, far: str
) -> None:
    faults = [{"type": "drop"}, {"type": "bandwidth", "attributes": {"rate": "1 GB/s"}}]
    loaded = load_scenario("demo", {"faults": faults})
    aimed = loaded.faults[1].model_copy(update=rule)
    loaded = loaded.model_copy(update={"faults": (loaded.faults[0], aimed)})
    bench = Bench("a", "b")
    found = {"out": "", "into": "", "far": ""}
    for name in "ab":
        endpoint = bench.node(name).endpoint
        narrow(endpoint, loaded, {"a": "a", "b": "b"}, Rng(0))
        for where, rules in (
            ("out", endpoint.egress.narrow.rules),
            ("into", endpoint.ingress.narrow.rules),
            ("far", endpoint.ingress.narrow.far),
        ):
            if rules:
                assert list(rules) == ["fault-1"]
                found[where] += name
    assert found == {"out": out, "into": into, "far": far}
