"""Four requests in the virtual world while nodes have faults, and what came of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from cluster.worlds.blueprint import Blueprint
from cluster.worlds.virtual import VirtualWorld
from configs.schema import load_scenario
from tests.cluster.worlds.cluster import SMALL, Heard, ask_all, prompt, request, run, settle
from workers.host.trace import Delivered, Noted, Ran

DEADLINE_NS = 5_000_000
CHANGES: Mapping[str, object] = {
    **SMALL, "placement.kv_pool": True, "slo.deadline": f"{DEADLINE_NS} ns",
}  # fmt: skip
NUM, APART_NS = 4, 20_000
CALM_NS = 2_500_000  # all that goes wrong is over, and without trouble everybody has an answer
# Whoever fails says so with one of these.
CODES = ("", "peer_dead", "deadline_exceeded", "internal_error")


@dataclass
class Outcome:
    heard: list[Heard]
    told: list[tuple[int, str, str]]  # (when, node, what) of every fault
    deliveries: list[Delivered]
    runs: list[Ran]
    digest: str

    def first(self, kind: str, request_id: str) -> Delivered:
        return next(r for r in self.deliveries if (r.kind, r.request_id) == (kind, request_id))


def outcome(*faults: Mapping[str, Any], **changes: object) -> Outcome:
    """Four requests, one every 20 us, then a calm time in which all must be let go of."""
    scenario = load_scenario("demo", {**CHANGES, **changes, "faults": list(faults)})

    async def job(world: VirtualWorld) -> Outcome:
        wanted = [request(f"r{i}", prompt_ids=prompt(i)) for i in range(NUM)]
        heard = await ask_all(world, wanted, apart_ns=APART_NS)
        await world.clock.wait_until(CALM_NS)
        dead = tuple(node for node in world.seats if not world._lives(node))
        await settle(world, dead=dead)
        records = list(world.trace.records)
        told = [
            (r.at_ns, r.subject, r.detail)
            for r in records
            if isinstance(r, Noted) and r.what == "fault"
        ]
        deliveries = [r for r in records if isinstance(r, Delivered)]
        runs = [r for r in records if isinstance(r, Ran)]
        return Outcome(heard, told, deliveries, runs, world.trace.digest())

    return run(Blueprint.draw(scenario), job)


@cache
def calm() -> Outcome:
    return outcome()


def all_end_well_or_clearly(found: Outcome, codes: Sequence[str] = CODES) -> None:
    """Laws 1 to 3: right, once (which `ask` looks at), and in time."""
    for number, (one, right) in enumerate(zip(found.heard, calm().heard, strict=True)):
        assert one.code in codes
        assert one.tokens == right.tokens[: len(one.tokens)]
        assert one.code or one.tokens == right.tokens
        assert one.ended_ns <= DEADLINE_NS + number * APART_NS
