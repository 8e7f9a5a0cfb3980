"""Expert shards die in a whole cluster, and spares answer for them: no request fails, and no token
is another.
"""

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from cluster.cli.show import render
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.virtual import VirtualWorld
from configs.plan import ShardPlan
from configs.schema import ScenarioError, load_scenario
from tests.cluster.worlds.chips_of_ranks import answers, degrees, expected, tokens
from tests.cluster.worlds.cluster import blueprint, run, settle

SPARED: dict[str, Any] = {"cluster.nodes.experts.count": 4, "cluster.nodes.experts.spares": 1}
SWITCH: dict[str, Any] = {
    "cluster.network": {"type": "switch"},
    "cluster.nodes.adder": {"workers": ["switch"], "device": "host-cpu", "link": "lowlat-2us"},
    "placement.experts.dispatch": "in_network",
    "placement.experts.combine": "in_network",
}


@pytest.mark.parametrize(
    "changes",
    [{}, degrees(prefill=(2, 1), decode=(2, 2)), SWITCH, {"model.numerics": "digest"}],
    ids=["one", "ranks", "switch", "digest"],
)
def test_shards_that_die_are_stood_in_for_and_return(changes: dict[str, Any]) -> None:
    async def job(world: VirtualWorld) -> None:
        calm = tokens(await answers(world, "calm"))
        if "model.numerics" not in changes:
            assert calm == expected()
        asked = world.gateway.spawn(answers(world), "ask")
        for victim in ("experts-1", "experts-2"):
            await world.clock.wait_until(world.clock.now() + 100_000)
            await world.kill(victim)
        heard = await asked
        assert tokens(heard) == calm and not any(one.code for one in heard)
        assert (await world.client.state()).lack == ""
        for victim in ("experts-1", "experts-2"):
            await world.revive(victim)
        assert tokens(await answers(world, "again")) == calm
        await settle(world)

    run(blueprint({**SPARED, **changes}), job)


def test_a_spare_holds_what_its_group_holds_and_is_shown() -> None:
    drawn = blueprint(SPARED)
    spare = drawn.plan.worker("spare-0")
    assert isinstance(spare, ShardPlan) and drawn.plan.directory["spare-0"] == "experts-spare-0"
    shards = [drawn.plan.worker(name) for name in drawn.plan.names("experts")]
    whole = sum(w.weights_bytes for w in shards if isinstance(w, ShardPlan))
    assert spare.weights_bytes == whole
    assert spare.expert_ids == tuple(range(drawn.model.num_experts))
    assert all(names == ("spare-0",) for names in drawn.plan.spares.values())
    shown = Console(width=160, file=StringIO(), record=True)
    shown.print(render(drawn.plan, drawn.scenario, drawn.model))
    assert "experts-spare-0: spare-0 (0-" in shown.export_text()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cluster.nodes.decode.spares": 1}, "spares is 1, and workers names decode: only expert "
         "shards"),
        ({**SPARED, "placement.experts.mode": "ship"}, "cluster.nodes.experts.spares: is 1, and "
         "placement.experts.mode 'ship'"),
    ],
)  # fmt: skip
def test_refused_with_what_would_do(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        Blueprint.draw(load_scenario("demo", changes), needs_weights=False)
    assert words in str(refused.value)
