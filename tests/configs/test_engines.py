"""Who works on what lies in a tier, and what is said of an engine that its tier cannot feed."""

import pytest
from pydantic import ValidationError

from configs.engines import engine_for, engine_notes
from configs.families import load_model
from configs.plan import MemoryPlan, ShardPlan, make_plan
from configs.presets import model_folder
from configs.schema import DeviceSpec, load_device, load_scenario
from tests.workers.bench import make_device, make_tier

TIERS = {"hbm": make_tier(), "ddr": make_tier()}


def engine(beside: str | None, **rates: int) -> dict[str, object]:
    return {"beside": beside, "compute": rates}


def device(**engines: dict[str, object]) -> DeviceSpec:
    return make_device(TIERS, engines=engines)


def test_the_engine_beside_a_tier_works_on_what_lies_there() -> None:
    spec = device(loose=engine(None, fp32=10**9), near=engine("ddr", fp32=10**9, int8=10**9))
    assert engine_for(spec, "ddr", "fp32", "beside") == "near"
    assert engine_for(spec, "hbm", "fp32", "beside") == "compute"
    assert engine_for(spec, "ddr", "bf16", "beside") == "compute"
    assert engine_for(spec, "ddr", "fp32", "main") == "compute"


def test_an_engine_stands_beside_a_tier_that_is_there() -> None:
    with pytest.raises(ValidationError, match=r"engines.near.beside is 'ddrr'.*ddr"):
        device(near=engine("ddrr", fp32=10**9))


def test_a_bus_that_costs_energy_has_a_speed() -> None:
    with pytest.raises(ValidationError, match="bus_energy is 2 pJ/bit and there is no bus"):
        make_tier(bus_pj_per_bit=2.0)


def test_a_buffer_that_costs_energy_has_a_size() -> None:
    with pytest.raises(ValidationError, match="buffer_energy is 2 pJ/bit and there is no buffer"):
        make_tier(buffer_pj_per_bit=2.0)


def test_an_engine_that_its_tier_cannot_feed_is_named_with_the_numbers() -> None:
    """A byte a nanosecond is 0.5 GFLOP/s of one token's fp32: 2 GFLOP/s want 4 tokens a weight."""
    (note,) = engine_notes(device(near=engine("ddr", fp32=2 * 10**9)))
    assert note == (
        "engine near reaches 2 GFLOP/s in fp32, more than ddr can feed it: 1 GB/s, which is "
        "500 MFLOP/s where a token meets each weight; it is busy where 4 or more share one"
    )
    assert engine_notes(device(near=engine("ddr", fp32=5 * 10**8))) == ()
    assert engine_notes(device(loose=engine(None, fp32=10**15))) == ()


def test_the_base_die_needs_fifteen_tokens() -> None:
    """120 TFLOP/s and 80 %, for 8 TB/s and 80 %."""
    bf16, int8 = engine_notes(load_device("b200-base-die"))
    assert "hbm can feed it: 6.4 TB/s" in bf16 and bf16.endswith("15 or more share one")
    assert int8.endswith("15 or more share one")


def planned(changes: dict[str, object]) -> tuple[set[str], set[str], tuple[str, ...]]:
    """Engines of shards and of memory servers, and notes of the first shard's node."""
    plan = make_plan(load_scenario("demo", changes), load_model(model_folder("perfuse-tiny")))
    return (
        {one.engine for one in plan.workers if isinstance(one, ShardPlan)},
        {one.engine for one in plan.workers if isinstance(one, MemoryPlan)},
        plan.node("experts-0").notes,
    )


def test_a_plan_says_who_computes() -> None:
    near = {"hbm": {"beside": "hbm", "compute": {"fp32": "1 TFLOP/s"}}}
    die = {"base": "h100-sxm", "engines": {"die": near["hbm"]}}
    on_die: dict[str, object] = {"cluster.nodes.experts.device": die}
    assert planned({})[:2] == ({"compute"}, {"compute"})
    assert planned(on_die)[0] == {"die"}
    assert planned({**on_die, "placement.engines": "main"})[0] == {"compute"}
    hot: dict[str, object] = {"placement.hot_experts": [0]}
    assert planned({**on_die, **hot})[0] == {"die"}, "in the same tier"
    lpddr = {"near": {"beside": "lpddr", "compute": {"fp32": "1 TFLOP/s"}}}
    pnm = {"base": "pnm-cxl", "engines": lpddr}
    assert planned({"cluster.nodes.pnm.device": pnm})[1] == {"compute", "near"}
    engines, _, notes = planned({"cluster.nodes.experts.device": "b200-base-die"})
    assert engines == {"compute"}
    assert any("engine base-die beside hbm does nothing for workers: [experts]" in n for n in notes)


def test_hot_experts_of_another_tier_are_the_business_of_the_engine_there() -> None:
    """Experts in flash, which has no engine beside it, and hot ones in HBM, which has."""
    die = {"die": {"beside": "hbm", "compute": {"fp32": "1 TFLOP/s"}}}
    changes: dict[str, object] = {
        "cluster.nodes.experts.device": {"base": "b200-h3", "engines": die},
        "cluster.nodes.experts.tiers": {"experts": "hbf", "hot_experts": "hbm"},
        "placement.hot_experts": [0],
    }
    plan = make_plan(load_scenario("demo", changes), load_model(model_folder("perfuse-tiny")))
    shards = [one for one in plan.workers if isinstance(one, ShardPlan)]
    assert {(one.engine, one.hot_engine) for one in shards} == {("compute", "die")}
    assert not any("does nothing" in note for note in plan.node("experts-0").notes)
    left: dict[str, object] = {**changes, "placement.engines": "main"}
    assert any("engine die beside hbm does nothing" in note for note in planned(left)[2])
