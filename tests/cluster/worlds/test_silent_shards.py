"""Expert shards that are paused or cut off, and told dead to nobody; and stragglers, in whole
clusters: no request fails, no token is another, and a step stalls no longer than finding out takes.
"""

from itertools import pairwise
from typing import Any

import pytest

from cluster.api.output import Output
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.virtual import VirtualWorld
from configs.schema import ScenarioError, load_scenario
from tests.cluster.router.test_silent_chips import cut_off, heal
from tests.cluster.worlds.chips_of_ranks import answers, degrees, tokens
from tests.cluster.worlds.cluster import blueprint, request, run, settle
from tests.cluster.worlds.test_lost_copies import COPIES
from tests.cluster.worlds.test_spares import SPARED, SWITCH
from workers.host.trace import Noted

SILENCE_NS = 400_000
WATCHED = {"cluster.silence": f"{SILENCE_NS} ns"}
CASES: dict[str, dict[str, Any]] = {
    "spare": SPARED,
    "copies": COPIES,
    "ranks": {**SPARED, **degrees(prefill=(2, 1), decode=(2, 2))},
    "switch": {**SPARED, **SWITCH},
    "digest": {**COPIES, "model.numerics": "digest"},
    "micro-batches": {**COPIES, "model.micro_batches": 2},
}


async def gaps(world: VirtualWorld, name: str, num_tokens: int = 48) -> tuple[list[int], list[int]]:
    """A greedy stream: its tokens, and the time from each of its outputs to the next."""
    heard, at_ns = list[Output](), list[int]()
    async for output in world.client.submit(request(name, max_tokens=num_tokens)):
        assert output.error is None
        heard.append(output)
        at_ns.append(world.clock.now())
    found = [token for output in heard for token in output.token_ids]
    return found, [after - before for before, after in pairwise(at_ns)]


def begun_anew(world: VirtualWorld) -> int:
    notes = [r.what for r in world.trace.records if isinstance(r, Noted)]
    return notes.count("begun anew")


@pytest.mark.parametrize(
    ("case", "at_ns"), [*dict.fromkeys(CASES, 163_000).items(), ("copies", 60_000)]
)
def test_no_request_fails_and_none_is_begun_anew(case: str, at_ns: int) -> None:
    """Cut off, found out, stood in for; whole again it is heard, and asked."""

    async def job(world: VirtualWorld) -> None:
        calm = tokens(await answers(world, "calm"))
        asked = world.gateway.spawn(answers(world), "ask")
        await world.clock.wait_until(world.clock.now() + at_ns)
        cut_off(world, "experts-1")
        heard = await asked
        assert tokens(heard) == calm and not any(one.code for one in heard)
        assert tokens(await answers(world, "without")) == calm
        assert begun_anew(world) == 0
        heal(world)
        assert tokens(await answers(world, "again")) == calm
        await settle(world)

    run(blueprint({**CASES[case], **WATCHED}), job)


@pytest.mark.parametrize("case", ["spare", "copies"])
@pytest.mark.parametrize("fault", ["pause", "crash"])
def test_a_step_stalls_for_less_than_twice_what_finding_out_takes(case: str, fault: str) -> None:
    """By hand: an output comes at most the silence and a step's time later than it would, once. A
    death is told at once, and stalls for less than a step.
    """
    what: dict[str, Any] = {"type": fault, "node": "experts-1", "start": "300 us"}
    if fault == "pause":
        what["duration"] = "3 ms"

    async def stream(world: VirtualWorld) -> tuple[list[int], list[int]]:
        return await gaps(world, "r")

    right, usual = run(blueprint({**CASES[case], **WATCHED}), stream)
    found, seen = run(blueprint({**CASES[case], **WATCHED, "faults": [what]}), stream)
    assert found == right
    longest_ns = SILENCE_NS if fault == "pause" else 0
    assert max(seen) <= longest_ns + 2 * max(usual) < 2 * SILENCE_NS
    late = [gap for gap in seen if gap > 2 * max(usual)]
    assert len(late) == (fault == "pause"), "one step found out, for all that came after it"


def test_where_nobody_has_its_experts_it_is_waited_for_and_no_request_hangs() -> None:
    async def job(world: VirtualWorld) -> None:
        right = tokens(await answers(world, "calm"))
        asked = world.gateway.spawn(answers(world), "ask")
        await world.clock.wait_until(world.clock.now() + 100_000)
        cut_off(world, "experts-1")
        await world.clock.wait_until(world.clock.now() + 10 * SILENCE_NS)
        heal(world)
        assert tokens(await asked) == right, "it came back in time"
        cut_off(world, "experts-1")
        begun_ns = world.clock.now()
        heard = await answers(world, "never")
        assert {one.code for one in heard} == {"deadline_exceeded"}
        assert max(one.ended_ns for one in heard) - begun_ns <= 40_000_000
        heal(world)
        await settle(world)

    run(blueprint({**WATCHED, "slo.deadline": "40 ms"}), job)


def test_hedging_takes_a_straggler_out_of_the_tail_and_changes_no_token() -> None:
    """A shard that computes fifty times as slowly is hedged after three times the usual answer: a
    layer takes four of these at most, where it took what the straggler does.
    """
    slow = {
        "type": "slow", "node": "experts-1", "start": "400 us", "duration": "1 s",
        "attributes": {"factor": 50},
    }  # fmt: skip

    async def job(world: VirtualWorld) -> tuple[list[int], list[int]]:
        found = await gaps(world, "r", 96)
        await settle(world)
        return found

    calm, usual = run(blueprint(SPARED), job)
    plain, seen = run(blueprint({**SPARED, "faults": [slow]}), job)
    hedged, short = run(blueprint({**SPARED, "cluster.hedge": 3, "faults": [slow]}), job)
    assert plain == hedged == calm
    assert sorted(short)[-1] <= 4 * max(usual), "experts are not all of a step"
    assert sorted(seen)[len(seen) * 99 // 100] > 2 * max(short)


def test_hedging_costs_nothing_while_all_are_as_fast_as_usual() -> None:
    async def job(world: VirtualWorld) -> str:
        await answers(world)
        await settle(world)
        return world.trace.digest()

    hashes = {
        run(blueprint({**SPARED, **more}), job)
        for more in ({}, {"cluster.hedge": 50}, {"cluster.silence": "1 s"})
    }
    assert len(hashes) == 1


def test_hedging_with_nobody_to_ask_is_refused() -> None:
    with pytest.raises(ScenarioError) as refused:
        Blueprint.draw(load_scenario("demo", {"cluster.hedge": 3}), needs_weights=False)
    assert "cluster.hedge: is 3, and no expert shard has a spare or copies" in str(refused.value)
