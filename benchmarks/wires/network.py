"""An injected delay beside one of the network: `python -m benchmarks.wires.network [--json FILE]`.

A chip decodes 8 streams of `perfuse-tiny`; its experts are in another network namespace, reached by
gRPC over TCP. Blocks take turns: a network that holds each packet for 20 ms (`relay`), and a
`latency` fault of 20 ms on the link between chip and experts, both ways, over the same network
without a delay. What is compared is TPOT as the wall at the gateway's node sees it.

Expected before the first run: a token crosses four layers, there and back: 8 x 20 ms = 160 ms in
both. An injected delay counts from the emulated send, so that what our software takes to send and
to receive is hidden in it; a packet's begins when that is done. So the network's TPOT is longer by
the software of 8 crossings and 4 expert calls, some 0.4 ms each: 3 %. At p99 both have what the
machine adds.
"""

import sys
from collections.abc import Mapping, Sequence
from statistics import median, quantiles

from benchmarks.rows import Row, arguments, report
from benchmarks.wires import relay
from benchmarks.wires.namespaces import Namespaces, standing
from cluster.workload.build import Workload, build_workload
from cluster.worlds.blueprint import Blueprint
from configs.schema import load_scenario
from workers.host.aside import at_once

DELAY_MS = 20
STREAMS, TOKENS = 8, 16
BLOCKS, PER_BLOCK = 4, 32  # of each kind, and requests of one
P50_BAR, P99_BAR = 0.05, 0.10
FAR = "experts-0"  # the node beyond the network
FAULT = {
    "type": "latency", "source": "chip-0", "destination": FAR, "direction": "both",
    "attributes": {"latency": f"{DELAY_MS} ms"},
}  # fmt: skip
NODES: Mapping[str, object] = {
    name: {"workers": [role], "device": "h100-sxm", "link": "lowlat-2us"}
    for name, role in (
        ("router", "router"), ("gateway", "gateway"), ("chip", "chip"), ("experts", "experts"),
    )
}  # fmt: skip


def drawn(num_requests: int, faulty: bool) -> Blueprint:
    prompts = {"input_length": {"fixed": 8}, "output_length": {"fixed": TOKENS}}
    changes: dict[str, object] = {
        "cluster.world": "local",
        "cluster.dilation": 1,
        "cluster.nodes": NODES,
        "placement.collections": None,
        "placement.kv_pool": False,
        "workload.prompts": {"synthetic": prompts},
        "workload.arrivals.closed": {"concurrency": STREAMS, "num_requests": num_requests},
        "workload.sampling.ignore_eos": True,
        "slo.deadline": "120 s",
        "faults": [FAULT] if faulty else [],
    }
    return Blueprint.draw(load_scenario("demo", changes))


def tpots_ms(cluster: Namespaces, workload: Workload) -> list[float]:
    """Of each request, by the wall at the gateway's node."""
    answers = at_once(cluster.ask_each(["gateway"], "run", workload))["gateway"]
    wrong = [answer.error or len(answer.token_ids) for answer in answers]
    if wrong != [TOKENS] * len(answers):
        raise RuntimeError(f"answers are not whole: {wrong}")
    return [answer.tpot_ns / 1e6 for answer in answers]


def observe(blocks: int = BLOCKS, per_block: int = PER_BLOCK) -> dict[str, list[float]]:
    """ "network" and "injected" -> milliseconds a token of each request."""
    blueprint = drawn((1 + 2 * blocks) * per_block, faulty=False)
    rules = drawn(1, faulty=True).scenario.faults
    requests = build_workload(blueprint.scenario, blueprint.model.vocab).requests
    parts = [
        Workload(requests[first : first + per_block], STREAMS)
        for first in range(0, len(requests), per_block)
    ]
    found: dict[str, list[float]] = {"network": [], "injected": []}
    with standing(blueprint, FAR) as (cluster, between):
        tpots_ms(cluster, parts[0])
        for turn, part in enumerate(parts[1:]):
            by_network = turn % 2 == 0
            between.become(DELAY_MS * 1_000_000 if by_network else 0)
            cluster.ask_all("faults", () if by_network else rules)
            found["network" if by_network else "injected"] += tpots_ms(cluster, part)
    return found


def rows_of(found: Mapping[str, Sequence[float]]) -> list[Row]:
    rows = []
    for name, bar, share in (("median", P50_BAR, 50), ("p99", P99_BAR, 99)):
        network, injected = (
            median(values) if share == 50 else quantiles(values, n=100)[98]
            for values in (found["network"], found["injected"])
        )
        off = injected / network - 1
        how = f"measured: {injected:.1f} ms injected, {network:.1f} ms by the network, "
        rows.append(
            Row(
                f"TPOT with {DELAY_MS} ms injected, off that of a late network: {name}",
                round(off, 4),
                "",
                f"within {bar:.0%}",
                abs(off) <= bar,
                f"{how}{len(found['injected'])} requests each",
            )
        )
    return rows


def run() -> list[Row]:
    if why := relay.hindrance():
        name = "TPOT with an injected delay, beside a late network"
        return [Row(name, "left out", "", "none", True, f"measured: {why}")]
    return rows_of(observe())


def main() -> int:
    options = arguments("An injected delay beside one of the network.").parse_args()
    return report(run(), options.json, "A late network")


if __name__ == "__main__":
    sys.exit(main())
