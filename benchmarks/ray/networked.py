"""A torus between hosts: its links are known on each by reports of the others.

`torus-tp2` on three hosts, at twice the demo's dilation. Expected before the first run: nearly all
messages go from host to host, so a host hears of another's 50 ms too late, 4 us of emulated time;
most of them have ended by then, and two that met on a link were each told an end as if alone. With
the links at most a fifth busy, few meet: medians of TTFT and TPOT within the bar of the paced demo,
15 %. In the end each host has heard of all, so both hands that count agree to the byte.
"""

from collections.abc import Mapping
from typing import Any

from benchmarks.ray.cluster import cluster
from benchmarks.ray.paced import COUNT, NUM_REQUESTS, rows_of
from benchmarks.ray.ray_hosts import RayHosts
from benchmarks.rows import Row
from benchmarks.runs import questions, run_in_virtual
from cluster.reports.summary import summarise
from cluster.worlds.blueprint import Blueprint
from configs.schema import load_scenario

SCENARIO = "torus-tp2"
WHERE = "three hosts, a torus"


def run(ray: RayHosts) -> list[Row]:
    blueprint = Blueprint.draw(load_scenario(SCENARIO, COUNT))
    exact = run_in_virtual(blueprint, questions(blueprint, NUM_REQUESTS), "in virtual time")
    with cluster(ray, "networked", {}, SCENARIO) as asked:
        told = asked.ask("run", COUNT)
    expected = {answer.request_id: list(answer.token_ids) for answer in exact.answers}
    return [
        *rows_of(WHERE, told, summarise(exact.answers, blueprint.scenario.slo)),
        *network_rows(told, expected),
    ]


def network_rows(told: Mapping[str, Any], expected: Mapping[str, list[int]]) -> list[Row]:
    """Tokens, and what the report says of links."""
    network = told["network"]
    differing = sum(told["tokens"].get(name) != tokens for name, tokens in expected.items())
    messages, links = (network["byte_hops"][hand] for hand in ("messages", "links"))
    estimated = network["estimated"]
    return [
        Row(f"answers that differ from virtual time, {WHERE}", differing, "",
            f"0 of {len(expected)}", not differing, "measured: token by token"),
        Row(f"messages' bytes x links that links did not move, {WHERE}", messages - links, "B",
            "0", messages == links, f"measured: {messages:,} and {links:,}"),
        Row(f"the report calls links of several machines estimated, {WHERE}", str(estimated), "",
            "True", estimated, "measured: its JSON"),
    ]  # fmt: skip
