"""The adapter for commit 086191e, whose modules are looked up by name: they may be gone here."""

from importlib import import_module
from typing import Any

from benchmarks.beside.stopwatch import Stopwatch

build_workload = import_module("cluster.workload.build").build_workload
Driver = import_module("cluster.workload.driver").Driver
Blueprint = import_module("cluster.worlds.blueprint").Blueprint
run_virtual = import_module("cluster.worlds.virtual").run_virtual
load_scenario = import_module("configs.schema").load_scenario


def run(stopwatch: Stopwatch) -> list[list[int]]:
    """The demo in the virtual world; the tokens of each answer."""
    blueprint = Blueprint.draw(load_scenario("demo"))
    workload = build_workload(blueprint.scenario, blueprint.model.vocab)

    async def job(world: Any) -> list[list[int]]:
        with stopwatch:
            answers = await Driver(world.gateway, world.client).run(workload)
        return [list(answer.token_ids) for answer in answers]

    result: list[list[int]] = run_virtual(blueprint, job)
    return result
