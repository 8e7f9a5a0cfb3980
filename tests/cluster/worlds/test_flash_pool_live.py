"""A pool in a file on a node's disk outlives the node, on the wall clock."""

import pytest

from benchmarks.memory.flash_node import in_file
from cluster.runs.run import run_in
from cluster.workload.build import build_workload
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.process import ProcessWorld, process_world
from configs.schema import load_scenario
from workers.flash.wear import Wear

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]
REAL = {
    "cluster.world": "process",
    "cluster.emulation": False,
    "workload.arrivals.closed.num_requests": 40,
}


def test_the_pool_is_there_when_its_node_returns_in_a_process() -> None:
    blueprint = Blueprint.draw(load_scenario("demo", {**in_file(capacity="16 MiB"), **REAL}))
    workload = build_workload(blueprint.scenario, blueprint.model.vocab)

    def wear(world: ProcessWorld) -> Wear:
        found: Wear = world.ask("hbf-0", "flash_wear")["hbf"]
        return found

    with process_world(blueprint) as world:
        first = run_in(world, workload, lambda _: None)
        assert wear(world).num_found == 0
        world.kill("hbf-0")
        world.revive("hbf-0")
        assert wear(world).num_found > 40
        again = run_in(world, workload, lambda _: None)
        assert [a.token_ids for a in again.answers] == [a.token_ids for a in first.answers]
        assert wear(world).num_hits > 40, "a chip has 64 blocks, and the prompts more"
        assert wear(world).num_damaged == 0
        assert not any(world.ask_all("failures").values())
