"""How many steps of a folded cluster one core computes in a second, while all chips decode."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cluster.workload.build import build_workload
from cluster.workload.driver import Driver
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.virtual import VirtualWorld, run_virtual
from configs.schema import load_scenario

SCENARIO = "deepseek-ep320"
# Of emulated time between two looks: about a step.
LOOK_EVERY_NS = 16_000_000


@dataclass(frozen=True, slots=True)
class Speed:
    """Steps of every chip, and the CPU seconds that they took; step_ns of emulated time each."""

    steps: float
    cpu_s: float
    step_ns: float

    @property
    def steps_per_s(self) -> float:
        return self.steps / self.cpu_s


def decoding(changes: Mapping[str, Any], profile: Any = None) -> Speed:
    """From when the last sequence has its second token to when the first has its last but one.
    `profile` is enabled once the first answer is under way.
    """
    blueprint = Blueprint.draw(load_scenario(SCENARIO, changes))
    workload = build_workload(blueprint.scenario, blueprint.model.vocab)
    looks: list[tuple[int, float]] = []

    async def watch(world: VirtualWorld) -> None:
        while True:
            looks.append((world.clock.now(), time.process_time()))
            await world.clock.wait_until(world.clock.now() + LOOK_EVERY_NS)

    async def job(world: VirtualWorld) -> Speed:
        watching = world.gateway.spawn(watch(world), "watch")
        if profile is not None:
            profile.enable()
        answers = await Driver(world.gateway, world.client).run(workload)
        if profile is not None:
            profile.disable()
        watching.cancel()
        assert not any(answer.error for answer in answers), "every request is answered"
        first = max(answer.submitted_ns + answer.token_ns[1] for answer in answers)
        last = min(answer.submitted_ns + answer.token_ns[-2] for answer in answers)
        inside = [look for look in looks if first <= look[0] <= last]
        span_ns, cpu_s = (end - begin for end, begin in zip(inside[-1], inside[0], strict=True))
        gaps = [
            (answer.token_ns[-2] - answer.token_ns[1]) / (len(answer.token_ns) - 3)
            for answer in answers
        ]
        step_ns = sum(gaps) / len(gaps)
        return Speed(span_ns / step_ns, cpu_s, step_ns)

    return run_virtual(blueprint, job)
