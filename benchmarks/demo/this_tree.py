"""The adapter for this tree."""

from benchmarks.beside.stopwatch import Stopwatch
from cluster.workload.build import build_workload
from cluster.workload.driver import Driver
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.virtual import VirtualWorld, run_virtual
from configs.schema import load_scenario


def run(stopwatch: Stopwatch) -> list[list[int]]:
    """The demo in the virtual world, as `perfuse run demo` does it; the tokens of each answer."""
    blueprint = Blueprint.draw(load_scenario("demo"))
    workload = build_workload(blueprint.scenario, blueprint.model.vocab)

    async def job(world: VirtualWorld) -> list[list[int]]:
        with stopwatch:
            answers = await Driver(world.gateway, world.client).run(workload)
        return [list(answer.token_ids) for answer in answers]

    return run_virtual(blueprint, job)
