"""Clusters whose chips compute experts that shards send them."""

import pytest

from cluster.worlds.virtual import VirtualWorld
from configs.families import load_model
from configs.plan import make_plan
from configs.presets import model_folder
from configs.schema import ScenarioError, load_scenario
from tests.cluster.worlds.cluster import Heard, ask_all, blueprint, prompt, request, run, settle

SHIP: dict[str, object] = {"placement.experts.mode": "ship"}
CASES: dict[str, dict[str, object]] = {
    "two shards": {},
    "one": {"cluster.nodes.experts.count": 1},
    "five, in turn": {
        "cluster.nodes.experts.count": 5,
        "placement.experts.strategy": "round_robin",
    },
    "micro-batches": {"model.micro_batches": 2},
    "chunks": {"model.max_num_batched_tokens": 48, "model.max_num_seqs": 8},
    "bf16": {"model.dtype": "bf16"},
}


def asked(
    changes: dict[str, object], *, victim: str = "", through_frames: bool = False
) -> list[Heard]:
    async def job(world: VirtualWorld) -> list[Heard]:
        if victim:
            world.gateway.spawn(kill(world, victim), "kill")
        wanted = [request(f"r{i}", prompt_ids=prompt(i, 20 + 13 * i)) for i in range(5)]
        heard = await ask_all(world, wanted, apart_ns=20_000)
        await settle(world, dead=(victim,) if victim else ())
        return heard

    return run(blueprint(changes), job, through_frames=through_frames)


async def kill(world: VirtualWorld, victim: str) -> None:
    await world.clock.wait_until(world.clock.now() + 150_000)
    await world.kill(victim)


@pytest.mark.parametrize("case", CASES)
def test_tokens_are_those_of_experts_beside_their_weights(case: str) -> None:
    changes = CASES[case]
    near, shipped = asked(changes), asked({**changes, **SHIP}, through_frames=True)
    assert [heard.code for heard in shipped] == [""] * 5
    assert [heard.tokens for heard in shipped] == [heard.tokens for heard in near]


def test_a_shard_that_dies_fails_those_who_need_it_and_nothing_is_held() -> None:
    heard = asked(SHIP, victim="experts-1")
    assert {one.code for one in heard} - {""} == {"peer_dead"}


def test_a_layer_of_experts_is_counted_into_a_chips_activations() -> None:
    """Eight experts of 98,304 bytes, twice with two micro-batches."""

    def held(changes: dict[str, object]) -> int:
        plan = make_plan(load_scenario("demo", changes), load_model(model_folder("perfuse-tiny")))
        fills = plan.node("decode-0").fills["hbm"]
        return sum(fill.num_bytes for fill in fills if fill.what == "activations")

    assert held(SHIP) - held({}) == 8 * 98_304
    assert held({**SHIP, "model.micro_batches": 2}) - held({}) == 2 * 8 * 98_304


def test_a_mode_that_is_none_is_refused() -> None:
    with pytest.raises(ScenarioError, match=r"placement\.experts"):
        load_scenario("demo", {"placement.experts.mode": "far"})
