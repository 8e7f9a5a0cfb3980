"""The same on the wall clock: objects in one process, and processes."""

import re

import httpx
import pytest

from benchmarks.laws._pressure import drawn, pressed, run_pressed, tokens_of, unpressed
from cluster.gateway.settings import GatewaySettings
from cluster.workload.build import build_workload
from cluster.worlds.process import process_world

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

REAL = {"cluster.emulation": False, "cluster.dilation": 1, "seed": 0}


@pytest.mark.parametrize(
    ("world", "name"), [("process", "single"), ("process", "demo"), ("local", "apart")]
)
def test_preempted_requests_give_the_same_tokens_in_live_worlds(world: str, name: str) -> None:
    run = run_pressed(name, {**REAL, "cluster.world": world})
    assert tokens_of(run.answers) == unpressed(name, 0)
    assert run.preemptions > 0
    assert not any(run.held.values()), run.held


def test_preemptions_are_counted_in_metrics_under_vllm_s_name() -> None:
    """A counter of all chips: 0 before, and what the chips themselves counted after."""
    blueprint = drawn("apart", {**pressed("apart"), **REAL, "cluster.world": "process"})
    with process_world(blueprint) as world:
        url: str = world.ask_gateway("serve_http", "127.0.0.1", 0, GatewaySettings())

        def counted() -> float:
            text = httpx.get(f"{url}/metrics").text
            (line,) = re.findall(r"^vllm:num_preemptions_total\{.*\} (\S+)$", text, re.MULTILINE)
            return float(line)

        assert counted() == 0
        world.run(build_workload(blueprint.scenario, blueprint.model.vocab), lambda _: None)
        assert (
            counted() == sum(c.get("preemptions", 0) for c in world.ask_all("counts").values()) > 0
        )
