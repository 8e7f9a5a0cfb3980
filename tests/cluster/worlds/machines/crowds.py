"""Crowds of streams over a cluster on hosts whose decode chips come and go."""

import subprocess
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from benchmarks.ray import scaling
from benchmarks.ray.ray_hosts import Asked, RayHosts
from cluster.runs.run import run_in_virtual
from cluster.workload.build import build_workload
from cluster.worlds.blueprint import Blueprint
from configs.schema import load_scenario
from tests.cluster.worlds.machines.free import FREE

# Shorter streams than the benchmark's: crowd after crowd, some always run.
TOKENS = 80
LOAD: Mapping[str, Any] = {**scaling.LOAD, "workload.sampling.max_tokens": TOKENS}


def expected() -> dict[str, list[int]]:
    """The tokens of each stream of a crowd."""
    blueprint = Blueprint.draw(load_scenario("demo", LOAD))
    workload = build_workload(blueprint.scenario, blueprint.model.vocab)
    answers = run_in_virtual(blueprint, workload, lambda _: None).answers
    right = {answer.request_id: list(answer.token_ids) for answer in answers}
    assert [len(tokens) for tokens in right.values()] == [TOKENS] * scaling.STREAMS
    return right


def decode_nodes(asked: Asked) -> list[str]:
    told = asked.ask("status")["nodes"]
    assert {one["gone"] + one["note"] for one in told.values()} == {""}
    return [node for node in told if node.startswith("decode")]


def streams_until(
    done: "Future[subprocess.CompletedProcess[str]]", asked: Asked, right: dict[str, list[int]]
) -> None:
    """One crowd of streams after the other, the last of them begun before it was done."""
    while True:
        is_last = done.done()
        told = asked.ask("run", LOAD)
        assert told["failed"] == 0 and told["tokens"] == right
        assert not any(told["held"].values())
        if is_last:
            return


def compared_with_now(ray: RayHosts) -> None:
    """The scenario says 2 decode chips, and may: what cannot be scaled is what is refused."""
    asked = ("--set", "cluster.nodes.experts.count=3")
    done = ray.perfuse("run", "demo", "--attach", "demo", *FREE, *asked)
    said = "cluster.nodes.experts.count: is 3, and the cluster that stands has 4"
    assert done.returncode == 2 and said in done.stderr, done.stderr
