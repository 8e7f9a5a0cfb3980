"""One run for `benchmarks.chaos.cost`, by path, with the layers of whichever tree is on the path:
it imports nothing of `benchmarks`, which is this tree's.
"""

import json
import sys
import time

from cluster.workload.build import build_workload
from cluster.workload.driver import Driver
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.virtual import VirtualWorld, run_virtual
from configs.schema import load_scenario


def main() -> None:
    blueprint = Blueprint.draw(load_scenario("demo", json.loads(sys.argv[1])))
    workload = build_workload(blueprint.scenario, blueprint.model.vocab)

    async def job(world: VirtualWorld) -> tuple[int, float]:
        began_s = time.process_time()
        answers = await Driver(world.gateway, world.client).run(workload)
        cpu_s = time.process_time() - began_s
        return sum(len(answer.token_ids) for answer in answers), cpu_s

    tokens, cpu_s = run_virtual(blueprint, job)
    print(json.dumps({"tokens": tokens, "cpu_s": cpu_s}))


if __name__ == "__main__":
    main()
