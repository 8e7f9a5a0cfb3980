"""All 500 questions on three hosts, by gRPC with certificates and by UCX: tokens beside those of
one process.

Expected before the first run: equal, since the arithmetic is the same, whatever the wire and
wherever the nodes.
"""

from benchmarks.ray.cluster import FREE, cluster
from benchmarks.ray.ray_hosts import RayHosts
from benchmarks.rows import Row
from benchmarks.runs import NUM_QUESTIONS, demo, questions, run_in_virtual
from cluster.worlds.blueprint import Blueprint

COUNT = {"workload.arrivals.closed.num_requests": NUM_QUESTIONS}


def run(ray: RayHosts) -> list[Row]:
    blueprint = Blueprint.draw(demo(NUM_QUESTIONS))
    right = run_in_virtual(blueprint, questions(blueprint), "in one process")
    expected = {answer.request_id: answer.token_ids for answer in right.answers}
    rows = []
    for wire in ("grpc", "ucx"):
        with cluster(ray, wire, {**FREE, "cluster.transport": wire}) as asked:
            told = asked.ask("run", COUNT)
        differ = sum(told["tokens"].get(name) != tokens for name, tokens in expected.items())
        held = sum(told["held"].values())
        rows.append(
            Row(f"answers that differ from one process's, three hosts, {wire}", differ, "",
                f"0 of {NUM_QUESTIONS}", differ == 0 and held == 0 and not told["failed"],
                f"measured: {len(told['tokens'])} answers, {told['failed']} failed, held {held}")
        )  # fmt: skip
    return rows
