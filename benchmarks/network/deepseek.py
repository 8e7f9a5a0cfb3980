"""DeepSeek-V3 message by message: what a step of 32 chips costs the machine that emulates it.

    python -m benchmarks.network --only deepseek

32 chips with 32 sequences each decode beside 32 nodes with 8 experts each, over one switch, in the
virtual world, on one core. Every dispatch and every combine is an envelope of its own:

    a step      58 layers x 32 chips x 32 shards x 2 = 118,784 envelopes, nearly: with 256 choices a
                chip leaves a shard of 32 out with a chance of (31/32)^256 = 0.03 %
    tokens      a token's 8 experts lie on 32 x (1 - (31/32)^8) = 7.2 shards if they are drawn one
                by one: 32 x 32 x 58 x 7.2 x 2 = 0.85 M token messages a step

Expected before the first run: the message path alone does 60,000 events/s (`make bench-events`),
and half of the time goes to it here; the rest to chips (80 us a layer of 32 tokens) and shards. So
about 25,000 envelopes/s, 180,000 token messages/s and a fifth of a step a second. The bar is 20,000
envelopes/s with links first come first served.

Under max-min sharing (the same through `cluster.network: {type: switch}`, links shared fairly) a
message is one flow over its sender's egress and its receiver's ingress. The exchange alone costs
1.3 times as much there as in order (`wire_speed`); it is half of this, so 20,000 envelopes/s were
expected, where the bar is 8,000.

Seconds are the process's own (CPU time). Standing up and the prompts are left out: what is timed is
from the first to the last token of all sequences but one step at each end.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.rows import Row
from cluster.workload.build import build_workload
from cluster.workload.driver import Driver
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.numerics import wire_numerics
from cluster.worlds.virtual import VirtualWorld, run_virtual
from configs.schema import load_scenario
from workers.host.trace import Delivered

SCENARIO = "deepseek-ep32"
FAIR = {f"cluster.nodes.{group}.link.sharing": "fair" for group in ("host", "chip", "experts")}
# What is changed -> the bar in envelopes a second.
WAYS: dict[str, tuple[dict[str, Any], int]] = {
    "links in order": ({}, 20_000),
    "max-min": ({"cluster.network": {"type": "switch"}, **FAIR}, 8_000),
}
LAYERS, CHIPS, SHARDS = 58, 32, 32
ENVELOPES_A_STEP = 2 * LAYERS * CHIPS * SHARDS
EVIDENCE = "measured: virtual world, digests, not folded, one core's CPU seconds"
# Of emulated time between two looks: a step takes 12 ms.
LOOK_EVERY_NS = 1_000_000


@dataclass(frozen=True, slots=True)
class Look:
    """At some emulated moment: CPU seconds so far, and what was delivered since the last look."""

    at_ns: int
    cpu_s: float
    envelopes: int
    rows: int


def look(world: VirtualWorld, row_bytes: int, sum_bytes: int) -> Look:
    """Takes the trace's records away: it keeps no more than some."""
    envelopes = rows = 0
    for record in world.trace.records:
        if not isinstance(record, Delivered):
            continue
        if record.kind == "dispatch":
            envelopes, rows = envelopes + 1, rows + (record.num_bytes - 68) // row_bytes
        elif record.kind == "combine":
            envelopes, rows = envelopes + 1, rows + (record.num_bytes - 64) // sum_bytes
    world.trace.records.clear()
    return Look(world.clock.now(), time.process_time(), envelopes, rows)


def decoding(changes: Mapping[str, Any]) -> list[Look]:
    """Looks at a run while every chip decodes all of its sequences."""
    blueprint = Blueprint.draw(load_scenario(SCENARIO, changes))
    numerics = wire_numerics(blueprint)
    # What one token of a message is charged: its request, position, experts and weights, its row.
    sizes = 8 + 4 + 8 * blueprint.model.top_k + numerics.row_bytes(8), numerics.sum_bytes(1)
    workload = build_workload(blueprint.scenario, blueprint.model.vocab)
    looks: list[Look] = []

    async def watch(world: VirtualWorld) -> None:
        while True:
            looks.append(look(world, *sizes))
            await world.clock.wait_until(world.clock.now() + LOOK_EVERY_NS)

    async def job(world: VirtualWorld) -> list[Look]:
        watching = world.gateway.spawn(watch(world), "watch")
        answers = await Driver(world.gateway, world.client).run(workload)
        watching.cancel()
        assert not any(answer.error for answer in answers), "every request is answered"
        first = max(answer.token_ns[1] for answer in answers)
        last = min(answer.token_ns[-2] for answer in answers)
        return [one for one in looks if first <= one.at_ns <= last]

    return run_virtual(blueprint, job)


def run() -> Iterator[Row]:
    for way, (changes, bar) in WAYS.items():
        looks = decoding(changes)
        cpu_s = looks[-1].cpu_s - looks[0].cpu_s
        envelopes = sum(one.envelopes for one in looks[1:])
        rows = sum(one.rows for one in looks[1:])
        name, rate = f"DeepSeek-V3, 32 chips x 32 tokens, 32 shards, {way}", envelopes / cpu_s
        yield Row(f"{name}: envelopes", rate, "/s", f">= {bar:,}/s", rate >= bar, EVIDENCE)
        yield Row(f"{name}: token messages", rows / cpu_s, "/s", "shown", True, EVIDENCE)
        yield Row(f"{name}: steps", rate / ENVELOPES_A_STEP, "/s", "shown", True, EVIDENCE)
