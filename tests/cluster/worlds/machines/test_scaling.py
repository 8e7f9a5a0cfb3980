"""The default cluster on three hosts gets more decode chips and gives them up again, while streams
run: nobody notices.
"""

import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from benchmarks.ray.hosts import hindrance
from benchmarks.ray.ray_hosts import Asked, RayHosts, ray_hosts
from benchmarks.ray.scaling import LOAD, STREAMS, TOKENS
from cluster.runs.run import run_in_virtual
from cluster.workload.build import build_workload
from cluster.worlds.blueprint import Blueprint
from configs.schema import load_scenario
from tests.cluster.worlds.machines.free import FREE

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(hindrance()), reason=hindrance()),
]


@pytest.fixture(scope="module")
def ray() -> Iterator[RayHosts]:
    with ray_hosts(3) as started:
        done = started.perfuse("up", "demo", *FREE)
        assert done.returncode == 0, done.stdout + done.stderr
        yield started
        done = started.perfuse("down", "demo")
        assert done.returncode == 0, done.stderr


def expected() -> dict[str, list[int]]:
    blueprint = Blueprint.draw(load_scenario("demo", dict(LOAD)))
    workload = build_workload(blueprint.scenario, blueprint.model.vocab)
    answers = run_in_virtual(blueprint, workload, lambda _: None).answers
    return {answer.request_id: list(answer.token_ids) for answer in answers}


def nodes(asked: Asked) -> list[str]:
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


def test_decode_chips_come_and_go_while_streams_run(ray: RayHosts) -> None:
    right = expected()
    assert [len(tokens) for tokens in right.values()] == [TOKENS] * STREAMS
    with ray.attached("demo") as asked, ThreadPoolExecutor(1) as thread:
        assert nodes(asked) == ["decode-0", "decode-1"]
        for count in (4, 2):
            done = thread.submit(ray.perfuse, "scale", f"decode={count}", "--name", "demo")
            streams_until(done, asked, right)
            told = done.result()
            assert told.returncode == 0, told.stdout + told.stderr
            assert f"stands with decode {count}" in told.stdout
            assert nodes(asked) == [f"decode-{number}" for number in range(count)]
            compared_with_now(ray)
        assert asked.ask("failures") == []
        assert ray.perfuse("status", "demo").stdout.count("decode-") == count


def test_too_few_resources_are_said_before_anything_changes(ray: RayHosts) -> None:
    done = ray.perfuse("scale", "decode=9000")
    assert done.returncode == 2
    said = "cluster.nodes.decode.machines.cpus: the new nodes together take 89.98 of CPU"
    assert "cluster demo cannot be scaled so:" in done.stderr and said in done.stderr
    with ray.attached("demo") as asked:
        assert nodes(asked) == ["decode-0", "decode-1"]
