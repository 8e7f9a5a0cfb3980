"""A straggler's share replaced where the user allows it: flagged, counted, and found by nobody."""

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from cluster.cli.show import render
from cluster.reports.summary import summarise
from cluster.runs.run import run_in_virtual
from cluster.workload.build import build_workload
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.virtual import VirtualWorld
from configs.schema import ScenarioError, load_scenario
from tests.cluster.worlds.chips_of_ranks import answers, degrees, expected, tokens
from tests.cluster.worlds.cluster import Heard, blueprint, run, settle

TIMEOUT_NS = 100_000
REPLACES: dict[str, Any] = {
    "placement.experts.on_timeout": "replace",
    "placement.experts.timeout": "100 us",
    "cluster.nodes.experts.count": 4,
}


def slow(**keys: Any) -> dict[str, Any]:
    """One shard's answers come late, some of them."""
    late = {"type": "latency", "source": "experts-1", "attributes": {"latency": "5 ms"}}
    return {"faults": [{**late, "toxicity": 0.1, "name": "slow", **keys}]}


def flagged(heard: Heard) -> list[int]:
    return [position for output in heard.outputs for position in output.approximate]


def replaced(world: VirtualWorld) -> int:
    return sum(crew.counts.get("shares_replaced", 0) for crew in world.crews.values())


def test_where_nobody_is_late_nothing_changes() -> None:
    async def job(world: VirtualWorld) -> None:
        heard = await answers(world)
        assert tokens(heard) == expected() and not any(map(flagged, heard))
        assert replaced(world) == 0

    run(blueprint(REPLACES), job)


@pytest.mark.parametrize("changes", [{}, degrees(prefill=(2, 2), decode=(2, 2))], ids=["1", "4"])
@pytest.mark.parametrize("in_network", [False, True])
def test_late_shares_are_flagged_and_what_is_not_is_exact(
    changes: dict[str, object], in_network: bool
) -> None:
    """All tokens from the first that lacks a share on are flagged: they follow from it. Those
    before are the reference's. Asked again without the straggler, all are: nobody found what was
    computed of late shares.
    """
    late = slow()
    if in_network:
        late = slow(toxicity=0.6)  # what a switch was to bring is asked for again, directly
        adder = {"workers": ["switch"], "device": "host-cpu", "link": "lowlat-2us"}
        changes = {
            **changes,
            "cluster.network": {"type": "switch"},
            "cluster.nodes.adder": adder,
            "placement.experts.dispatch": "in_network",
            "placement.experts.combine": "in_network",
        }

    async def job(world: VirtualWorld) -> None:
        begun_ns = world.clock.now()
        heard = await answers(world)
        took_ns = world.clock.now() - begun_ns
        marks = list(map(flagged, heard))
        assert any(marks) and not any(one.code for one in heard)
        for one, mark, right in zip(heard, marks, expected(), strict=True):
            exact = mark[0] if mark else len(right)
            assert mark == list(range(exact, len(one.tokens)))
            assert one.tokens[:exact] == right[:exact]
        assert replaced(world) > 0
        # Each step of 4 layers waits 4 times at most, not 5 ms for anybody.
        assert took_ns < 5_000_000 + 4 * TIMEOUT_NS * 40
        await settle(world)
        for crew in world.crews.values():
            crew.node.endpoint.rules.clear()
        again = await answers(world, "again")
        assert tokens(again) == expected() and not any(map(flagged, again))
        await settle(world)

    run(blueprint({**REPLACES, **late, **changes}), job)


def test_a_run_counts_them() -> None:
    few = {"workload.arrivals.closed.num_requests": 6, "workload.sampling.max_tokens": 6}
    scenario = load_scenario("demo", {**few, **REPLACES, **slow(toxicity=0.5)})
    drawn = Blueprint.draw(scenario)
    done = run_in_virtual(drawn, build_workload(scenario, drawn.model.vocab), lambda _: None)
    shown = Console(width=200, file=StringIO(), record=True)
    shown.print(render(drawn.plan, scenario, drawn.model))
    assert "shares later than 100 us replaced" in shown.export_text()
    summary = summarise(done.answers)
    assert 0 < summary.num_approximate <= summary.num_tokens
    assert summary.num_failed == 0 and not any(done.held.values())


def test_refused_with_what_would_do() -> None:
    for changes, words in (
        ({"placement.experts.on_timeout": "replace"}, "on_timeout is 'replace' and timeout is "
         "missing"),
        ({"placement.experts.timeout": "0 ns"}, "timeout is 0 ns: every share is late then"),
        ({**REPLACES, "placement.experts.mode": "ship"}, "on_timeout is 'replace' and mode 'ship'"),
    ):  # fmt: skip
        with pytest.raises(ScenarioError) as refused:
            load_scenario("demo", changes)
        assert words in str(refused.value)
