"""The paced demo on three hosts beside the virtual world, by UCX and by gRPC.

Expected before the first run: a link of 2 us takes 24 ms at this dilation, and a hop over a virtual
cable 0.1 to 0.3 ms: as near as the local cluster, TTFT and TPOT within 10 %; 1 to 3 % of runs and
deliveries late, for want of cores.
"""

from collections.abc import Mapping
from typing import Any

from benchmarks.ray.cluster import cluster
from benchmarks.ray.ray_hosts import RayHosts
from benchmarks.rows import Row
from benchmarks.runs import demo, questions, run_in_virtual
from cluster.reports.summary import Summary, summarise
from cluster.worlds.blueprint import Blueprint

NUM_REQUESTS = 100
DILATION = 2 * demo(1).cluster.dilation  # twice what the local demo takes
APART, OVERRUNS = 0.15, 0.05
COUNT = {"workload.arrivals.closed.num_requests": NUM_REQUESTS}


def run(ray: RayHosts) -> list[Row]:
    exact = in_virtual()
    rows = []
    for wire in ("ucx", "grpc"):
        changes = {"cluster.dilation": DILATION, "cluster.transport": wire}
        with cluster(ray, f"paced-{wire}", changes) as asked:
            rows += rows_of(f"three hosts, {wire}", asked.ask("run", COUNT), exact)
    return rows


def in_virtual() -> Summary:
    blueprint = Blueprint.draw(demo(NUM_REQUESTS))
    run = run_in_virtual(blueprint, questions(blueprint, NUM_REQUESTS), "in virtual time")
    return summarise(run.answers, blueprint.scenario.slo)


def rows_of(where: str, told: Mapping[str, Any], exact: Summary) -> list[Row]:
    """Medians beside those of virtual time, and how much was late."""
    rows = []
    for name, live, virtual in (
        ("TTFT", told["ttft_us"], exact.ttft_us_p50),
        ("TPOT", told["tpot_us"], exact.tpot_us_p50),
    ):
        apart = live / virtual - 1
        rows.append(
            Row(f"median {name} beside virtual, {where}", f"{apart:+.1%}", "",
                f"within {APART:.0%}", abs(apart) <= APART and not told["failed"],
                f"measured: {live:.1f} beside {virtual:.1f} us, dilation {DILATION:,.0f}, "
                f"{len(told['tokens'])} answers, {told['failed']} failed")
        )  # fmt: skip
    late = told["overruns"]
    rows.append(
        Row(f"overruns, {where}", f"{late:.2%}", "", f"<= {OVERRUNS:.0%}", late <= OVERRUNS,
            f"measured: dilation {DILATION:,.0f}")
    )  # fmt: skip
    return rows
