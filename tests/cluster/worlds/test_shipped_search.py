"""A cluster whose chips scan what memory servers send them."""

import pytest

from cluster.worlds.virtual import VirtualWorld
from configs.families import load_model
from configs.plan import make_plan
from configs.presets import model_folder
from configs.schema import ScenarioError, load_scenario
from tests.cluster.worlds.cluster import Heard, ask_all, request, run, settle, with_cards

SHIP = {"placement.search": "ship"}
QUESTIONS = ("What does the card of Yolutus-11 cost?", "latency of Sylutus-1", "grey")


def asked(changes: dict[str, object], victim: str = "") -> list[Heard]:
    async def job(world: VirtualWorld) -> list[Heard]:
        wanted = [
            request(f"r{i}", messages=({"role": "user", "content": text},), retrieval="cards")
            for i, text in enumerate(QUESTIONS)
        ]
        if victim:
            world.gateway.spawn(kill(world, victim), "kill")
        heard = await ask_all(world, wanted, apart_ns=200_000)
        await settle(world, dead=(victim,) if victim else ())
        return heard

    return run(with_cards(changes), job)


async def kill(world: VirtualWorld, victim: str) -> None:
    """While vectors are on their way to it."""
    await world.clock.wait_until(world.clock.now() + 150_000)
    await world.kill(victim)


@pytest.mark.parametrize("num_servers", [1, 3])
def test_tokens_and_passages_are_those_of_a_search_near_memory(num_servers: int) -> None:
    count: dict[str, object] = {"cluster.nodes.pnm.count": num_servers}
    near, shipped = asked(count), asked({**count, **SHIP})
    assert [heard.code for heard in shipped] == [""] * len(QUESTIONS)
    assert [heard.tokens for heard in shipped] == [heard.tokens for heard in near]
    passages = [[p for out in heard.outputs for p in out.passages] for heard in shipped]
    assert passages == [[p for out in heard.outputs for p in out.passages] for heard in near]
    assert all(len(found) > 0 for found in passages)


def test_another_chip_scans_where_one_dies() -> None:
    """The first search is the second chip's, decode-0: there are three."""
    near = asked({"cluster.nodes.decode.count": 2})
    shipped = asked({"cluster.nodes.decode.count": 2, **SHIP}, victim="decode-0")
    assert [heard.code for heard in shipped] == [""] * len(QUESTIONS)
    assert [heard.tokens for heard in shipped] == [heard.tokens for heard in near]


def test_an_index_that_a_chip_cannot_use_is_refused() -> None:
    changes = {**SHIP, "placement.collections.cards.index": "ivf_flat"}
    with pytest.raises(ScenarioError) as refused:
        make_plan(load_scenario("demo", changes), load_model(model_folder("perfuse-tiny")))
    (problem,) = refused.value.problems
    assert problem.startswith("placement.collections.cards.index: is 'ivf_flat'")
    with pytest.raises(ScenarioError, match=r"placement\.search"):
        load_scenario("demo", {"placement.search": "far"})
