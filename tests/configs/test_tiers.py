"""Which tier holds what: what is said of a group, then of all, then the policy's, then the device's
own.
"""

from typing import Any

import pytest

from configs.plan import ChipPlan, MemoryPlan, Plan, ShardPlan
from configs.schema import ScenarioError
from tests.configs.test_plan import TINY, plan

H3 = {f"cluster.nodes.{name}.device": "b200-h3" for name in ("prefill", "decode", "experts")}


def workers(changes: dict[str, Any]) -> tuple[Plan, ChipPlan, ShardPlan]:
    made = plan({**H3, "model.num_kv_blocks": 64, **changes})
    chip, shard = made.worker("decode-0"), made.worker("experts-0")
    assert isinstance(chip, ChipPlan)
    assert isinstance(shard, ShardPlan)
    return made, chip, shard


def fills(made: Plan, node: str) -> dict[str, dict[str, int]]:
    return {
        tier: {fill.what: fill.num_bytes for fill in held}
        for tier, held in made.node(node).fills.items()
    }


def test_all_lies_in_the_default_tier() -> None:
    made, chip, shard = workers({})
    assert (chip.tier, chip.embeddings_tier, chip.kv_tier, shard.tier) == ("hbm",) * 4
    assert fills(made, "decode-0")["hbf"] == {}


def test_frozen_things_lie_in_flash_where_there_is_some() -> None:
    made, chip, shard = workers({"placement.policy": "frozen_in_flash"})
    assert (chip.tier, chip.embeddings_tier, shard.tier) == ("hbf",) * 3
    assert chip.kv_tier == "hbm"
    held = fills(made, "decode-0")
    assert held["hbf"] == {"weights": TINY.chip_bytes(4)}
    assert set(held["hbm"]) == {"activations", "kv"}
    assert fills(made, "experts-0")["hbf"] == {"experts": TINY.shard_bytes(2, 4)}
    beside = plan({"placement.policy": "frozen_in_flash"}).worker("decode-0")
    assert isinstance(beside, ChipPlan)
    assert beside.tier == "hbm", "an H100 has no flash"
    memory = made.worker("memory-1")  # pnm-cxl
    assert isinstance(memory, MemoryPlan)
    assert memory.collection_tier in made.node("pnm-0").device.tiers


def test_what_is_said_of_a_group_goes_before_what_is_said_of_all() -> None:
    said = {
        "placement.policy": "frozen_in_flash",
        "placement.weights_tier": "hbm",
        "placement.embeddings_tier": "hbm",
        "cluster.nodes.decode.tiers": {"weights": "hbf"},
    }
    made, chip, _ = workers(said)
    prefill = made.worker("prefill-0")
    assert isinstance(prefill, ChipPlan)
    assert (chip.tier, chip.embeddings_tier) == ("hbf", "hbm")
    assert (prefill.tier, prefill.embeddings_tier) == ("hbm", "hbm")
    embeddings = TINY.head_bytes(4) * (1 if TINY.tie_embeddings else 2)
    held = fills(made, "decode-0")
    assert held["hbf"] == {"weights": TINY.chip_bytes(4) - embeddings}
    assert held["hbm"]["embeddings"] == embeddings


def test_hot_experts_lie_apart() -> None:
    made, _, shard = workers(
        {
            "placement.experts_tier": "hbf",
            "placement.hot_experts": [0, 5],
            "placement.hot_experts_tier": "hbm",
        }
    )
    assert (shard.expert_ids, shard.hot_ids) == ((0, 1), (0,))
    assert (shard.tier, shard.hot_tier) == ("hbf", "hbm")
    assert fills(made, "experts-0")["hbm"]["hot_experts"] == TINY.shard_bytes(1, 4)
    assert fills(made, "experts-0")["hbf"] == {"experts": TINY.shard_bytes(1, 4)}
    assert fills(made, "experts-1")["hbf"] == {"experts": TINY.shard_bytes(2, 4)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"placement.weights_tier": "hbf"}, "placement.weights_tier: is 'hbf', which h100-sxm in"),
        (
            {"cluster.nodes.decode.tiers": {"kv": "hbb"}, "cluster.nodes.decode.device": "b200-h3"},
            "cluster.nodes.decode.tiers.kv: is 'hbb', which b200-h3 in cluster.nodes.decode does "
            "not have: did you mean 'hb",
        ),
        ({"placement.collections_tier": "hbq"}, "placement.collections_tier: is 'hbq', which"),
        ({"placement.hot_experts": [3, 3]}, "hot_experts names 3 twice"),
        ({"placement.hot_experts_tier": "hbm"}, "hot_experts is empty|hot_experts empty"),
        ({"placement.hot_experts": [8]}, "placement.hot_experts: names 8, and the model has 8"),
        ({"cluster.nodes.decode.tiers": {"wieghts": "hbm"}}, "wieghts"),
    ],
)
def test_what_cannot_be_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        plan(changes)


def test_a_group_that_holds_none_of_it_need_not_have_the_tier() -> None:
    """Only experts' machines have flash: the scenario may say so for all."""
    changes = {"cluster.nodes.experts.device": "b200-h3", "placement.experts_tier": "hbf"}
    made = plan(changes)
    shard = made.worker("experts-0")
    assert isinstance(shard, ShardPlan)
    assert shard.tier == "hbf"


def test_flash_that_is_too_small_is_refused_with_what_would_do() -> None:
    small = {"base": "b200-h3", "tiers": {"hbf": {"capacity": "1 MB"}}}
    with pytest.raises(ScenarioError, match="do not fit tier hbf of b200-h3: needs"):
        plan({**H3, "cluster.nodes.decode.device": small, "placement.policy": "frozen_in_flash"})
