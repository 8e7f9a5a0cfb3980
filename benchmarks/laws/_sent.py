"""A run in the virtual world whose every message on a link is seen, and what was sent twice."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from cluster.runs.run import Run, held_when_idle
from cluster.workload.build import build_workload
from cluster.workload.driver import Driver
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.virtual import VirtualWorld, run_virtual
from configs.schema.scenario import Scenario
from workers.wire.message import Message
from workers.wire.rules import Pass, Verdict


@dataclass(slots=True)
class Sent:
    """A rule that changes nothing. A call is known by its id, an answer by what it answers."""

    kinds: Counter[str] = field(default_factory=Counter)
    times: Counter[tuple[Any, ...]] = field(default_factory=Counter)

    def judge(self, source: str, destination: str, message: Message[Any]) -> Verdict:
        what = ("answer", message.reply_to) if message.reply_to else ("call", message.message_id)
        self.kinds[message.kind] += 1
        self.times[message.kind, source, destination, message.source_epoch, *what] += 1
        return Pass()

    def twice(self) -> dict[str, int]:
        """Kind -> messages that were sent again."""
        again: Counter[str] = Counter()
        for (kind, *_), times in self.times.items():
            again[kind] += times - 1
        return {kind: number for kind, number in sorted(again.items()) if number}


def run_watched(scenario: Scenario) -> tuple[Run, Sent]:
    """Its workload, and what crossed links meanwhile."""
    blueprint, sent = Blueprint.draw(scenario), Sent()
    workload = build_workload(blueprint.scenario, blueprint.model.vocab)

    async def job(world: VirtualWorld) -> Run:
        for node in world.nodes.values():
            node.endpoint.rules["sent"] = sent
        answers = await Driver(world.gateway, world.client).run(workload)
        return Run(answers, await held_when_idle(world))

    return run_virtual(blueprint, job), sent
