"""Memory errors and full disks in the virtual world; faults at random, and the same ones again."""

from collections.abc import Mapping, Sequence
from typing import Any

from cluster.worlds.blueprint import Blueprint
from cluster.worlds.virtual import VirtualWorld
from configs.schema import load_scenario
from tests.cluster.worlds.cluster import ask_all, prompt, request, run
from tests.cluster.worlds.faulty import CHANGES, all_end_well_or_clearly, calm, outcome
from workers.host.trace import Noted


def test_a_page_error_in_the_pool_is_computed_anew() -> None:
    """The prefill chip forgets what it had and asks the pool, where a bit of most blocks has
    changed: none of these is given to it, and the same prompt has the same tokens.
    """
    faults: list[dict[str, Any]] = [
        {"type": "crash", "node": "prefill-0", "start": "1 ms",
         "attributes": {"restart_after": "50 us"}},
        {"type": "page_error", "node": "memory-0", "start": "1100 us",
         "attributes": {"blocks": 64}},
    ]  # fmt: skip

    async def job(world: VirtualWorld) -> None:
        (first,) = await ask_all(world, [request("a", prompt_ids=prompt(1, 96))])
        await world.clock.wait_until(1_200_000)
        (again,) = await ask_all(world, [request("b", prompt_ids=prompt(1, 96))])
        assert (first.code, again.code) == ("", "")
        assert again.tokens == first.tokens
        notes = [r.detail for r in world.trace.records if isinstance(r, Noted)]
        assert sum(note.startswith("fault-1: page_error ") for note in notes) == 64
        pools = [crew._server.pool for crew in world.crews.values() if crew._server is not None]
        assert sum(pool.statistics.num_corrupt for pool in pools) == 1, "the first ends the run"

    run(Blueprint.draw(load_scenario("demo", {**CHANGES, "faults": faults})), job)


def test_a_router_whose_disk_is_full_refuses_until_it_restarts() -> None:
    full = {
        "type": "disk_full", "node": "router", "duration": "100 us",
        "event": {"kind": "submit", "nth": 3},
    }  # fmt: skip
    found = outcome(full)
    assert [what for _, _, what in found.told] == ["fault-0: disk_full", "fault-0: disk_full ends"]
    all_end_well_or_clearly(found)
    assert found.heard[3].code == "internal_error", "it was told so at once"
    again = {"type": "crash", "node": "router", "start": "130 us"}
    found = outcome(full, {**again, "attributes": {"restart_after": "20 us"}})
    all_end_well_or_clearly(found)
    assert [one.code for one in found.heard[:2]] == ["", ""], "what was promised is kept"


def draws(seed: int, *more: Mapping[str, Any]) -> Sequence[tuple[int, str, str]]:
    rule = {
        "type": "slow", "node": "decode-0", "random": {"count": 3, "within": "300 us"},
        "duration": "1 us", "attributes": {"factor": 2}, "name": "drawn",
    }  # fmt: skip
    told = outcome(rule, *more, seed=seed).told
    return [one for one in told if one[2].startswith("drawn: slow 2")]


def test_instants_at_random_are_the_seeds_and_nobody_elses() -> None:
    first = draws(1)
    assert len(first) == 3 and all(at_ns < 300_000 for at_ns, _, _ in first)
    assert first == draws(1, {"type": "crash", "node": "experts-1", "start": "50 us"})
    assert first != draws(2)


def test_the_same_scenario_has_the_same_trace() -> None:
    faults: list[dict[str, Any]] = [
        {"type": "pause", "node": "prefill-0", "duration": "40 us",
         "random": {"rate": 10_000, "within": "400 us"}},
        {"type": "crash", "node": "decode-0", "transfer": {"point": "moved", "nth": 2},
         "attributes": {"restart_after": "60 us"}},
        {"type": "page_error", "node": "memory-0", "random": {"count": 2, "within": "200 us"}},
    ]  # fmt: skip
    found = outcome(*faults[:2])
    assert found.digest == outcome(*faults[:2]).digest != calm().digest
    all_end_well_or_clearly(found)
